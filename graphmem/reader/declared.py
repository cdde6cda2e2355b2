"""What the file declares of a tensor, beside what is computed of it -> the type that is used, and a finding.

A computed shape stands against a declared one: it follows from the sizes bound. A declared shape stands where nothing
can be computed, unless it holds the sizes of a trace that was made at other ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx

from graphmem.ir.errors import ModelError
from graphmem.ir.types import TensorType, Type
from graphmem.reader.dims import declared_dims, evaluated
from graphmem.reader.names import Names
from graphmem.reader.order import captured, described
from graphmem.reader.protos import dtype_of

# Nodes looked at on the way back from one tensor to the inputs that it depends on.
MAX_LOOKED_AT = 100_000


def check_dtype(info: onnx.ValueInfoProto, found: Type) -> None:
    """ModelError when the file declares another element type than the operator puts out."""
    number = info.type.tensor_type.elem_type
    inferred = getattr(found, "dtype", None)
    if number and inferred and dtype_of(number, f"'{info.name}'") != inferred:
        raise ModelError(
            f"'{info.name}' is declared as {dtype_of(number, info.name)} but computed as {inferred}; export it again"
        )


def contradiction(info: onnx.ValueInfoProto, found: TensorType, symbols: Mapping[str, int]) -> str | None:
    """In words, that the file declares another shape than `found`, or None where it does not."""
    dims = declared_dims(info)
    if dims is None:
        return None
    sizes = [evaluated(dim, symbols) if isinstance(dim, str) else dim for dim in dims]
    if len(sizes) == len(found.shape) and all(a is None or a == b for a, b in zip(sizes, found.shape, strict=True)):
        return None
    spelled = f"{found.dtype}[{', '.join('?' if d is None else str(d) for d in dims)}]"
    return (
        f"'{info.name}' is declared as {spelled} in the file but computed as {found}; the computed shape is used, "
        "as it follows from the sizes that the inputs have"
    )


def stale(
    info: onnx.ValueInfoProto, names: Names, inputs: Mapping[str, onnx.ValueInfoProto], sizes: Mapping[str, int]
) -> str | None:
    """In words, that the shape declared is of a trace at other sizes than are bound, or None where it may hold.

    A shape with a symbol was declared for every size. One of numbers alone may hold if each size bound of the inputs
    that the tensor depends on is among them.
    """
    dims = declared_dims(info) or []
    if any(not isinstance(dim, int) for dim in dims):
        return None
    for symbol in bound_symbols(info.name, names, inputs, sizes):
        if sizes[symbol] not in dims:
            return (
                f"the file declares {list(dims)}, of a trace at another size than {symbol}={sizes[symbol]}; "
                "give it with --shapes-from"
            )
    return None


def bound_symbols(
    name: str,
    names: Names,
    inputs: Mapping[str, onnx.ValueInfoProto],
    sizes: Mapping[str, int],
    axes: tuple[int, ...] | None = None,
) -> list[str]:
    """The free dimensions (or those of these axes) of the inputs that the tensor depends on, in order."""
    found: dict[str, None] = {}
    reached = origins(name, names)
    for source, info in inputs.items():
        for axis, dim in enumerate((declared_dims(info) or []) if source in reached else []):
            symbol = f"{source}:{axis}" if dim is None else dim
            if isinstance(symbol, str) and symbol in sizes and (axes is None or axis in axes):
                found[symbol] = None
    return list(found)


def origins(name: str, names: Names) -> frozenset[str]:
    """The names that no node writes, on which the tensor depends; each tensor is looked at once."""
    known, pending = names.origins, [name]
    while pending:
        here = pending[-1]
        node = names.maker(here)
        reads = [] if node is None or here in known else [n for n in (*node.input, *captured(node)) if n]
        waiting = [other for other in reads if other not in known]
        if waiting:
            pending += waiting
            continue
        pending.pop()
        if here not in known:
            known[here] = frozenset((here,)) if node is None else frozenset().union(*(known[n] for n in reads))
    return known[name]


def sources(name: str, names: Names) -> Iterator[str]:
    """The names that the tensor depends on, itself first, across the graphs around."""
    pending, seen = [name], {name}
    while pending and len(seen) < MAX_LOOKED_AT:
        here = pending.pop()
        yield here
        node = names.maker(here)
        for other in (*node.input, *captured(node)) if node is not None else ():
            if other and other not in seen:
                seen.add(other)
                pending.append(other)


# Operators and the input that says the shape they make, where it can be a constant from a trace.
TARGETS = {"Reshape": 1, "Expand": 1, "ConstantOfShape": 0, "Tile": 1}


def baked_in(
    proto: onnx.NodeProto, names: Names, inputs: Mapping[str, onnx.ValueInfoProto], sizes: Mapping[str, int]
) -> str | None:
    """In words, the constant that holds another batch than is bound: of the node itself or of one before it."""
    for name in proto.output:
        for made in sources(name, names):
            node = proto if made == name else names.maker(made)
            found = None if node is None else _baked(node, names, inputs, sizes)
            if found is not None:
                return found
    return None


def baked_unseen(
    proto: onnx.NodeProto, names: Names, inputs: Mapping[str, onnx.ValueInfoProto], sizes: Mapping[str, int]
) -> str | None:
    """The same of a node that takes such a constant and runs all the same.

    A Reshape of the batch bound puts what is left over into its -1; an Expand of a batch of 1 repeats it.
    """
    if proto.op_type not in ("Reshape", "Expand") or len(proto.input) < 2:
        return None
    data, target = names.tensor(proto.input[0]), names.value(proto.input[1])
    type_ = data.type if data is not None else None
    if data is None or data.role == "weight" or target is None or not isinstance(type_, TensorType) or not type_.shape:
        return None
    if proto.op_type == "Reshape":
        fits = -1 in target.low.tolist()
    else:
        fits = type_.shape[0] == 1 and len(type_.shape) == target.low.size
    found = _baked(proto, names, inputs, sizes) if fits else None
    if found is None:
        return None
    leading = [sizes[s] for s in bound_symbols(proto.input[0], names, inputs, sizes, axes=(0,))]
    return found if type_.shape[0] in leading else None


def _baked(
    node: onnx.NodeProto, names: Names, inputs: Mapping[str, onnx.ValueInfoProto], sizes: Mapping[str, int]
) -> str | None:
    at = TARGETS.get(node.op_type)
    if at is None or at >= len(node.input) or not node.input[at]:
        return None
    target, tensor = names.value(node.input[at]), names.tensor(node.input[at])
    if target is None or tensor is None or tensor.role != "weight" or not target.is_exact or target.low.ndim != 1:
        return None
    leading = int(target.low[0]) if target.low.size else 0
    for source, info in inputs.items():
        symbol = next(iter(declared_dims(info) or []), None)
        symbol = f"{source}:0" if symbol is None else symbol
        if not isinstance(symbol, str) or symbol not in sizes or leading in (0, -1, 1, sizes[symbol]):
            continue
        return (
            f"{described(node)} takes its shape from the constant '{node.input[at]}' {target.low.tolist()}, which "
            f"holds the {leading} of the trace where '{symbol}' is now {sizes[symbol]}: export with that dimension "
            f"dynamic and the shape computed from it (x.shape[0], or -1), or bind {symbol}={leading}"
        )
    return None
