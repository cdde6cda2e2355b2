"""A valid model and a seed -> a damaged one: bytes flipped, cut or moved, or the parsed graph changed in places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import onnx

EXTREMES = (0, 1, -1, 2, 3, 7, 64, -2, 2**31, 2**31 - 1, -(2**31), 2**32, 2**40, 2**62, 2**63 - 1, -(2**63))


def mutated(seeds: Sequence[bytes], seed: int) -> bytes:
    """The damaged file number `seed`; the same on every machine."""
    random = Random(seed)
    data = random.choice(seeds)
    if random.random() < 0.35:
        return _bytes_changed(data, random)
    try:
        model = onnx.ModelProto.FromString(data)
        for _ in range(random.randint(1, 4)):
            random.choice(CHANGES)(model, random)
        return model.SerializeToString()
    except Exception:  # nothing there to change, or damaged already
        return _bytes_changed(data, random)


def _bytes_changed(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(changed) or 1)
        kind = random.randrange(5)
        if kind == 0 and changed:
            changed[at] ^= 1 << random.randrange(8)
        elif kind == 1 and changed:
            changed[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            del changed[at : at + random.randint(1, 40)]
        elif kind == 3:
            changed[at:at] = changed[at : at + random.randint(1, 40)]
        elif random.random() < 0.3:
            del changed[at:]
    return bytes(changed)


def _graphs(model: onnx.ModelProto) -> list[Any]:
    found: list[Any] = [model.graph, *model.functions]
    for graph in found:
        for node in graph.node:
            for attribute in node.attribute:
                found += [g for g in (attribute.g, *attribute.graphs) if g.node]
    return found


def _graph(model: onnx.ModelProto, random: Random) -> Any:
    return random.choice(_graphs(model))


def _node(model: onnx.ModelProto, random: Random) -> Any:
    return random.choice(_graph(model, random).node)


def _names(graph: Any) -> list[str]:
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    return [*names, *(info if isinstance(info, str) else info.name for info in graph.input), "", "nothing"]


def _change_operator(model: onnx.ModelProto, random: Random) -> None:
    schemas = onnx.defs.get_all_schemas()
    chosen = random.choice(schemas)
    node = _node(model, random)
    node.op_type = random.choice((chosen.name, "", "NoSuch"))
    node.domain = random.choice((node.domain, chosen.domain, "com.microsoft", "no.such"))


def _change_input(model: onnx.ModelProto, random: Random) -> None:
    graph = _graph(model, random)
    node = random.choice(graph.node)
    node.input[random.randrange(len(node.input))] = random.choice(_names(graph))


def _change_output(model: onnx.ModelProto, random: Random) -> None:
    graph = _graph(model, random)
    node = random.choice(graph.node)
    node.output[random.randrange(len(node.output))] = random.choice(_names(graph))


def _add_or_drop_input(model: onnx.ModelProto, random: Random) -> None:
    graph = _graph(model, random)
    names = random.choice((random.choice(graph.node).input, random.choice(graph.node).output))
    if random.random() < 0.5:
        names.append(random.choice(_names(graph)))
    else:
        names.pop()


def _move_node(model: onnx.ModelProto, random: Random) -> None:
    nodes = _graph(model, random).node
    index = random.randrange(len(nodes))
    node = onnx.NodeProto.FromString(nodes[index].SerializeToString())
    if random.random() < 0.7:
        del nodes[index]
    if random.random() < 0.7:
        nodes.insert(random.randrange(len(nodes) + 1), node)


def _change_attribute(model: onnx.ModelProto, random: Random) -> None:
    attribute = random.choice(_node(model, random).attribute)
    kind = random.randrange(5)
    if kind == 0:
        attribute.i = random.choice(EXTREMES)
    elif kind == 1 and attribute.ints:
        attribute.ints[random.randrange(len(attribute.ints))] = random.choice(EXTREMES)
    elif kind == 2:
        attribute.ints.append(random.choice(EXTREMES))
    elif kind == 3:
        attribute.type = random.randrange(15)
    else:
        attribute.name = random.choice(("axis", "axes", "value", "body", "then_branch", "perm", "kernel_shape", ""))


def _change_shape(model: onnx.ModelProto, random: Random) -> None:
    graph = _graph(model, random)
    info = random.choice((*graph.input, *graph.output, *graph.value_info))
    tensor = info.type.tensor_type
    kind = random.randrange(5)
    if kind == 0:
        random.choice(tensor.shape.dim).dim_value = random.choice(EXTREMES)
    elif kind == 1:
        random.choice(tensor.shape.dim).dim_param = random.choice(("N", "N+1", "N/0", "2**9", "(" * 50, "é", "N-9"))
    elif kind == 2:
        tensor.shape.dim.add().dim_value = random.choice(EXTREMES)
    elif kind == 3:
        tensor.elem_type = random.randrange(-1, 30)
    else:
        tensor.ClearField("shape")


def _change_initializer(model: onnx.ModelProto, random: Random) -> None:
    tensor = random.choice(_graph(model, random).initializer)
    kind = random.randrange(6)
    if kind == 0:
        tensor.dims[random.randrange(len(tensor.dims))] = random.choice(EXTREMES)
    elif kind == 1:
        tensor.dims.append(random.choice(EXTREMES))
    elif kind == 2:
        tensor.data_type = random.randrange(-1, 30)
    elif kind == 3:
        tensor.name = random.choice(_names(model.graph))
    elif kind == 4:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=random.choice(("w.bin", "../w", "/etc/passwd", "", ".", "a\0b")))
    else:
        _change_value(tensor, random)


def _change_value(tensor: onnx.TensorProto, random: Random) -> None:
    """Some integers replaced by extreme ones: shapes, axes, counts."""
    array = onnx.numpy_helper.to_array(tensor).copy().reshape(-1)
    array[random.randrange(array.size)] = random.choice([n for n in EXTREMES if abs(n) < 2 ** (8 * array.itemsize - 1)])
    dims = list(tensor.dims)
    tensor.CopyFrom(onnx.numpy_helper.from_array(array.reshape(dims), tensor.name))


def _change_header(model: onnx.ModelProto, random: Random) -> None:
    opset = random.choice(model.opset_import)
    if random.random() < 0.5:
        opset.version = random.choice((*range(1, 25), *EXTREMES))
    else:
        opset.domain = random.choice(("", "ai.onnx", "ai.onnx.ml", "x"))
    model.ir_version = random.choice((1, 3, 4, 8, 10, 99, model.ir_version))


def _drop(model: onnx.ModelProto, random: Random) -> None:
    graph = _graph(model, random)
    rows = random.choice([rows for rows in (graph.input, graph.output, graph.initializer, graph.value_info) if rows])
    del rows[random.randrange(len(rows))]


Change = Callable[[onnx.ModelProto, Random], None]
CHANGES: tuple[Change, ...] = (
    _change_operator,
    _change_input,
    _change_output,
    _add_or_drop_input,
    _move_node,
    _change_attribute,
    _change_attribute,
    _change_shape,
    _change_shape,
    _change_initializer,
    _change_initializer,
    _change_header,
    _drop,
)
