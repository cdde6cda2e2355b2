"""Sizes as runtimes compute them: where ONNX's inference says another thing, and where it says nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.helper
import pytest

from graphmem.ir.types import BoundedType
from graphmem.reader import read
from graphmem.reader.rules.slices import ANY, MOST, sliced

Write = Callable[..., Path]


def typed(write: Write, text: str, opset: int = 17, name: str = "y", domains: str = "") -> str:
    path = write(f'<ir_version: 8, opset_import: ["" : {opset}{domains}]> {text}')
    return str(read(path).tensors[name].type)


RESIZE = "g (float[1, 1, {h}, {w}] x) => (float[a, b, c, d] y) <float[4] s = {{1, 1, {a}, {b}}}> {{ y = {op} }}"


@pytest.mark.parametrize(
    ("op", "opset", "size", "scale", "made"),
    [
        ("Resize(x, s)", 10, (320, 320), (0.7, 0.7), (224, 224)),  # in float32; exactly 223.99999
        ('Resize(x, "", s)', 13, (320, 10), (0.7, 0.7), (224, 7)),
        ('Resize(x, "", s)', 19, (50, 30), (1.3, 1.9), (65, 57)),
        ("Upsample(x, s)", 9, (50, 30), (1.3, 1.9), (65, 57)),
        ('Resize(x, "", s)', 19, (10, 11), (0.33, 1.2), (3, 13)),  # the same by both
    ],
)
def test_a_resized_size_is_the_product_in_float32(
    model: Write, op: str, opset: int, size: tuple[int, int], scale: tuple[float, float], made: tuple[int, int]
) -> None:
    text = RESIZE.format(h=size[0], w=size[1], a=scale[0], b=scale[1], op=op)
    assert typed(model, text, opset) == f"float32[1, 1, {made[0]}, {made[1]}]"


def test_a_size_that_float32_cannot_hold_is_the_specifications(model: Write) -> None:
    text = 'g (uint8[16777217] x) => (uint8[n] y) <float[1] s = {1}> { y = Resize <mode = "nearest"> (x, "", s) }'
    assert typed(model, text) == "uint8[16777217]"


def test_a_computed_scale_gives_the_size_that_was_meant(model: Write) -> None:
    text = """g (float[1, 1, 13, 13] x) => (float[a, b, c, d] y)
        <float[2] wanted = {99, 25}, float[2] one = {1, 1}, float[2] present = {13, 13}> {
        q = Div(wanted, present) s = Concat <axis = 0> (one, q) y = Resize (x, "", s) }"""
    assert typed(model, text, 13) == "float32[1, 1, 99, 25]"


def test_the_difference_is_said_with_the_node(model: Write) -> None:
    text = RESIZE.format(h=320, w=10, a=0.7, b=1, op='Resize(x, "", s)')
    (issue,) = read(model(f'<ir_version: 8, opset_import: ["" : 13]> {text}')).issues
    assert (issue.kind, issue.where, issue.effect) == ("runtime", "node 'y' (Resize)", "exact")
    assert "float32[1, 1, 224, 10] as runtimes" in issue.what
    assert "float32[1, 1, 223, 10]" in issue.what


POOL = "g (float[1, 1, {n}] x) => (float[a, b, c] y) {{ y = {op} <{attributes}> (x) }}"


@pytest.mark.parametrize("opset", [11, 13, 22])
@pytest.mark.parametrize(
    ("op", "n", "attributes", "made"),
    [
        # windows start at -1, 2, 5; the last would start at 5 >= 4 + 1 - 1
        ("MaxPool", 4, "ceil_mode = 1, kernel_shape = [3], strides = [3], pads = [1, 1]", 2),
        ("MaxPool", 5, "ceil_mode = 1, kernel_shape = [1], strides = [2], pads = [0, 0]", 3),
        ("AveragePool", 2, "ceil_mode = 1, kernel_shape = [3], strides = [3], pads = [1, 1]", 1),
        ("MaxPool", 6, "ceil_mode = 1, kernel_shape = [2], strides = [3]", 2),
        ("MaxPool", 6, 'ceil_mode = 1, kernel_shape = [1], strides = [4], auto_pad = "VALID"', 2),
        ("AveragePool", 9, 'ceil_mode = 1, kernel_shape = [2], strides = [4], auto_pad = "VALID"', 3),
        ("MaxPool", 9, 'ceil_mode = 1, kernel_shape = [1], strides = [2], auto_pad = "SAME_UPPER"', 5),
    ],
)
def test_a_window_that_starts_in_the_padding_is_dropped_in_every_opset(
    model: Write, opset: int, op: str, n: int, attributes: str, made: int
) -> None:
    assert typed(model, POOL.format(n=n, op=op, attributes=attributes), opset) == f"float32[1, 1, {made}]"


def test_dilations_under_same_padding_are_the_specifications_unless_onnxruntime_is_asked_of(model: Write) -> None:
    attributes = 'kernel_shape = [2], strides = [2], dilations = [2], auto_pad = "SAME_LOWER"'
    path = model(POOL.format(n=9, op="MaxPool", attributes=attributes))
    assert str(read(path).tensors["y"].type) == "float32[1, 1, 5]"
    assert str(read(path, is_onnxruntime=True).tensors["y"].type) == "float32[1, 1, 4]"
    assert [issue.kind for issue in read(path).issues] == ["runtime"]


@pytest.mark.parametrize(
    ("attributes", "made"),
    [
        ('auto_pad = "SAME_UPPER", strides = [2], output_padding = [1]', 14),  # 7 * 2, the padding not added
        ('auto_pad = "SAME_LOWER", strides = [4]', 27),  # (7 - 1) * 4 + 3: less than 28, and no padding is negative
        ("strides = [2], output_padding = [1], pads = [1, 1]", 14),  # (7 - 1) * 2 + 1 + 3 - 2
        ("output_shape = [5]", 5),  # under the input's 7
        ("strides = [2], output_shape = [20]", 20),
    ],
)
def test_a_transposed_convolution(model: Write, attributes: str, made: int) -> None:
    text = f"""g (float[1, 2, 7] x) => (float[a, b, c] y) <float[2, 3, 3] w = {{{", ".join(["0"] * 18)}}}> {{
        y = ConvTranspose <{attributes}> (x, w) }}"""
    assert typed(model, text) == f"float32[1, 3, {made}]"


@pytest.mark.parametrize(
    ("text", "opset", "type_"),
    [
        ("g (float[2, 1] x, float[3] z) => (bool[a, b] y) { y = GreaterOrEqual(x, z) }", 13, "bool[2, 3]"),
        ("g (float[2, 1] x, float[3] z) => (bool[a, b] y) { y = LessOrEqual(x, z) }", 12, "bool[2, 3]"),
        ("g (float[3, 2] x, float[4, 1, 1] z) => (float[n] y) { y = PRelu(x, z) }", 16, "float32[4, 3, 2]"),
        ("g (float[7] x) => (float[n] y) { y = Slice <starts = [-100], ends = [3]> (x) }", 9, "float32[3]"),
        ("g (float[7] x) => (float[n] y) { y = Slice <starts = [5], ends = [2]> (x) }", 9, "float32[0]"),
        ("g (float[3, 4] x) => (float y) <int64[2] i = {1, 2}> { y = GatherND(x, i) }", 17, "float32[]"),
        ("g (float x) => (float y) { y = Transpose(x) }", 17, "float32[]"),
        (
            (
                "g (float[2, 1600] x) => (float[a, b, c, d] y) <int64 step = {160}, int64 frame = {400}> "
                '{ y = STFT(x, step, "", frame) }'
            ),
            17,
            "float32[2, 8, 201, 2]",
        ),
        (
            (
                "g (float[7] x) => (float[n] y) <int64[1] a = {5}, int64[1] b = {2147483647}, int64[1] z = {0}, "
                "int64[1] c = {-1}> { y = Slice(x, a, b, z, c) }"
            ),
            13,
            "float32[6]",
        ),
    ],
)
def test_what_inference_leaves_open_or_gets_otherwise(model: Write, text: str, opset: int, type_: str) -> None:
    assert typed(model, text, opset) == type_


@pytest.mark.parametrize(
    ("low", "high", "start", "end", "step", "made"),
    [
        (0, 8, (-2, -2), (3, 3), 1, (0, 2)),  # x[-2:3] is longest where x has 3
        (0, 5, (3, 3), (-2, -2), -2, (0, 1)),
        (0, 6, (-2, -2), (MOST, MOST), 1, (0, 2)),
        (7, 7, ANY, ANY, 1, (0, 7)),
        (7, 7, (2, 2), ANY, 1, (0, 5)),
        (7, 7, ANY, (3, 3), 1, (0, 3)),
        (7, 7, (0, 0), (2, 5), 1, (2, 5)),
        (7, 7, ANY, ANY, -2, (0, 4)),
    ],
)
def test_the_bounds_of_a_slice(
    low: int, high: int, start: tuple[int, int], end: tuple[int, int], step: int, made: tuple[int, int]
) -> None:
    assert sliced(low, high, start, end, (step, step)) == made


def test_a_slice_that_the_run_decides_is_no_larger_than_its_input(model: Write) -> None:
    path = model("""g (float[4, 9] x, int64[1] a, int64[1] b) => (float[n, m] y) <int64[1] axis = {1}> {
        y = Slice(x, a, b, axis) }""")
    assert read(path).tensors["y"].type == BoundedType("float32", (4, 0), (4, 9))


def test_branches_of_other_ranks_bound_what_follows(model: Write) -> None:
    path = model("""g (bool c, float[1, 16] x) => (float[n] y) <int64[1] axes = {0}> {
        b = If (c) <then_branch = t () => (float[n] s) { s = Squeeze(x, axes) },
                    else_branch = e () => (float[m, n] i) { i = Identity(x) }>
        y = Relu(b) }""")
    graph = read(path)
    assert str(graph.tensors["y"].type) == "float32[16] or float32[1, 16]"
    assert graph.tensors["y"].type.nbytes == 64
    assert {issue.effect for issue in graph.issues} == {"at most"}


def test_axes_below_zero_keep_their_size_under_a_policy_in_onnxruntime(model: Write) -> None:
    text = """g (float[2, 24] x) => (float[n, m] y) <int64[2] s = {8, 39}> {
        y = Resize <mode = "nearest", axes = [0, -1], keep_aspect_ratio_policy = "not_smaller"> (x, "", "", s) }"""
    assert typed(model, text, 18) == "float32[8, 24]"


def test_a_resized_bound_is_no_bound_where_proportions_are_kept(model: Write) -> None:
    resize = """g (float[3, 4] x) => (float[n, m] y) <int64[2] s = {{9, 9}}> {{
        z = NonZero(x) f = Cast <to = 1> (z) y = Resize <mode = "nearest"{policy}> (f, "", "", s) }}"""
    assert typed(model, resize.format(policy=""), 18) == "float32[9, 9]"
    assert typed(model, resize.format(policy=', keep_aspect_ratio_policy = "not_larger"'), 18) == "?[...]"


def test_what_the_data_decide_is_bounded_through_a_network(model: Write) -> None:
    path = model("""g (float[5, 3, 8, 8] x, bool[5] keep) => (float[n, m] y) {
        k = Compress <axis = 0> (x, keep) p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (k)
        a = GlobalAveragePool(p) y = Flatten(a) }""")
    assert read(path).tensors["y"].type == BoundedType("float32", (0, 3), (5, 3))


# --- local functions -------------------------------------------------------------------------------------------------


def saved(path: Path, functions: list[onnx.FunctionProto], *nodes: onnx.NodeProto) -> Path:
    x = onnx.helper.make_tensor_value_info("x", 1, [1, 4])
    graph = onnx.helper.make_graph(list(nodes), "g", [x], [onnx.ValueInfoProto(name="y")])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("mine", 1)]
    proto = onnx.helper.make_model(graph, functions=functions, opset_imports=opsets, ir_version=9)
    path.write_bytes(proto.SerializeToString())
    return path


def function(name: str, opset: int, *nodes: onnx.NodeProto, **defaults: int) -> onnx.FunctionProto:
    opsets = [onnx.helper.make_opsetid("", opset), onnx.helper.make_opsetid("mine", 1)]
    made = onnx.helper.make_function("mine", name, ["a"], ["o"], list(nodes), opsets, attributes=["unset"])
    made.attribute_proto.extend(onnx.helper.make_attribute(key, value) for key, value in defaults.items())
    return made


def referring(node: onnx.NodeProto, name: str, outer: str) -> onnx.NodeProto:
    node.attribute.append(onnx.AttributeProto(name=name, ref_attr_name=outer, type=onnx.AttributeProto.INT))
    return node


def test_a_default_attribute_of_a_function_holds_unless_the_call_gives_it(tmp_path: Path) -> None:
    twice = function("twice", 17, referring(onnx.helper.make_node("Concat", ["a", "a"], ["o"]), "axis", "ax"), ax=1)
    call = onnx.helper.make_node("twice", ["x"], ["y"], domain="mine")
    given = onnx.helper.make_node("twice", ["x"], ["y"], domain="mine", ax=0)
    for node, type_ in ((call, "float32[1, 8]"), (given, "float32[2, 4]")):
        assert str(read(saved(tmp_path / "m.onnx", [twice], node)).tensors["y"].type) == type_


def test_a_function_means_the_operators_of_the_opset_that_it_imports(tmp_path: Path) -> None:
    squeeze = function(
        "squeeze",
        11,
        onnx.helper.make_node("Relu", ["a"], ["r"]),
        onnx.helper.make_node("Squeeze", ["r"], ["o"], axes=[0]),
    )
    inner = onnx.helper.make_node("squeeze", ["x"], ["s"], domain="mine")
    graph = read(saved(tmp_path / "m.onnx", [squeeze], inner, onnx.helper.make_node("Relu", ["s"], ["y"])))
    assert [node.op_type for node in graph.nodes] == ["Relu", "Squeeze", "Relu"]
    assert str(graph.tensors["y"].type) == "float32[4]"
    assert not graph.issues
