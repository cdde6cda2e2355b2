"""What each kernel of ONNX Runtime's CPU provider allocates beside its outputs: alone, under the allocation tracer.

    python benchmarks/ort_probe_workspace.py [WORD]     only cases whose line has WORD in it

Every line has the events of one run: +bytes allocated, -bytes freed, in order; outputs are among them. Each case runs
in a process of its own, because a thread keeps some buffers for the next. The rules of graphmem/ort/kernels/ are read
off these lines; a new kernel needs a case here and a rule there.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from graphmem.measure.process import compiled, traced

TYPES = {"f": np.float32, "h": np.float16, "i": np.int64, "j": np.int32, "b": np.bool_, "u": np.uint8, "s": np.int8}
MS = "com.microsoft"
SCALE, ZERO_U, ZERO_S = np.array(0.1, np.float32), np.array(1, np.uint8), np.array(0, np.int8)


def zeros(letter: str, *shape: int) -> np.ndarray:
    return np.zeros(shape, TYPES[letter])


def conv_cases() -> Iterator[tuple[Any, ...]]:
    for x, w, more in (
        ((2, 16, 20, 20), (32, 16, 1, 1), {}),
        ((2, 16, 20, 20), (32, 16, 1, 1), {"strides": [2, 2]}),
        ((2, 16, 20, 20), (32, 16, 3, 3), {"pads": [1] * 4}),
        ((1, 16, 6, 6), (64, 16, 3, 3), {"pads": [1] * 4}),
        ((1, 16, 20, 20), (16, 1, 3, 3), {"pads": [1] * 4, "group": 16}),
        ((1, 16, 20, 20), (32, 8, 3, 3), {"group": 2}),
        ((2, 16, 200), (32, 16, 3), {"pads": [1, 1]}),
        ((1, 4, 8, 10, 10), (8, 4, 3, 3, 3), {"pads": [1] * 6}),
    ):
        yield "Conv", "", [("f", x), zeros("f", *w)], more
        quantized = [("u", x), SCALE, ZERO_U, zeros("s", *w), SCALE, ZERO_S, SCALE, ZERO_U]
        if len(x) == 4:
            yield "QLinearConv", "", quantized, more
            yield "ConvInteger", "", [("u", x), zeros("u", *w), ZERO_U], more
    for x, w, more in (
        ((2, 16, 10, 10), (16, 8, 2, 2), {"strides": [2, 2]}),
        ((1, 16, 10, 10), (16, 8, 3, 3), {"group": 2}),
        ((1, 16, 10), (16, 8, 4), {"strides": [2]}),
    ):
        yield "ConvTranspose", "", [("f", x), zeros("f", *w)], more


def recurrent_cases() -> Iterator[tuple[Any, ...]]:
    for op, gates, outputs in (("LSTM", 4, 3), ("GRU", 3, 2), ("RNN", 1, 2)):
        for direction in ("forward", "reverse", "bidirectional"):
            d = 2 if direction == "bidirectional" else 1
            weights = [zeros("f", d, gates * 20, 12), zeros("f", d, gates * 20, 20), zeros("f", d, 2 * gates * 20)]
            more: dict[str, Any] = {"hidden_size": 20, "direction": direction}
            yield op, "", [("f", (5, 3, 12)), *weights], more, outputs
            yield op, "", [("f", (5, 3, 12)), *weights[:2]], more, outputs
            yield op, "", [("f", (5, 3, 12)), *weights], more, 1
            if op == "GRU":
                yield op, "", [("f", (5, 3, 12)), *weights], {**more, "linear_before_reset": 1}, outputs


def attention_cases() -> Iterator[tuple[Any, ...]]:
    x, heads = ("f", (2, 16, 32)), {"num_heads": 4}
    weights = [zeros("f", 32, 96), zeros("f", 96)]
    yield "Attention", MS, [x, *weights], heads
    yield "Attention", MS, [x, *weights], {**heads, "unidirectional": 1}
    yield "Attention", MS, [x, *weights, ("j", (2, 16))], heads
    for steps, width in ((16, 32), (64, 32), (512, 32), (512, 512)):
        yield "MultiHeadAttention", MS, [("f", (1, steps, width))] * 3, heads
    yield "MultiHeadAttention", MS, [x, x, x, zeros("f", 96)], heads
    yield "MultiHeadAttention", MS, [x, x, x, None, ("j", (2, 16))], heads
    yield "MultiHeadAttention", MS, [x, x, x], heads, 3
    by_head = ("f", (2, 4, 16, 8))
    yield "Attention", "", [by_head] * 3, {}
    yield "Attention", "", [by_head] * 3, {"is_causal": 1}
    yield "Attention", "", [by_head] * 3 + [("b", (16, 16))], {}
    ones = [("s", (32, 96)), zeros("f", 96), SCALE, SCALE, None, ZERO_U, ZERO_S]
    yield "QAttention", MS, [("u", (2, 16, 32)), zeros("s", 32, 96), *ones[1:]], heads


def other_cases() -> Iterator[tuple[Any, ...]]:
    x = ("f", (2, 6, 20, 32))
    yield "Where", "", [("b", (4, 1)), ("f", (4, 64)), ("f", (1,))], {}
    yield "LRN", "", [("f", (1, 8, 10, 10))], {"size": 5}
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        for axis in (1, 3):
            yield op, "", [x], {"axis": axis}
    for op in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"):
        for axes in ([1], [3], [0, 2], [2, 3]):
            yield op, "", [x, np.array(axes)], {}
    for op in ("Sum", "Max", "Min", "Mean"):
        yield op, "", [x] * 3, {}
    for mode in ("nearest", "linear", "cubic"):
        yield "Resize", "", [x, None, np.array([1, 1, 2, 2], np.float32)], {"mode": mode}
    yield "Resize", "", [x, None, np.array([1, 1, 0.5, 0.5], np.float32)], {"mode": "linear", "antialias": 1}
    yield "Resize", "", [("f", (2, 20, 32)), None, np.array([1, 2, 2], np.float32)], {"mode": "linear"}
    for equation, *shapes in (
        ("bij,bjk->bik", (2, 6, 8), (2, 8, 10)),
        ("bhid,bhjd->bhij", (2, 4, 16, 8), (2, 4, 16, 8)),
        ("bhwc,hkc->bhwk", (2, 5, 6, 8), (5, 7, 8)),
        ("bnc,mc->bmn", (2, 30, 8), (4, 8)),
        ("ij->ji", (20, 30)),
        ("bij->b", (2, 20, 30)),
        ("abc,cd,de->abe", (2, 4, 6), (6, 8), (8, 3)),
        ("bld,dn->bldn", (1, 16, 32), (32, 8)),
    ):
        yield "Einsum", "", [("f", shape) for shape in shapes], {"equation": equation}
    for op in ("BiasGelu", "FastGelu"):
        yield op, MS, [x, zeros("f", 32)], {}
    yield "GroupNormalization", "", [x, zeros("f", 6), zeros("f", 6)], {"num_groups": 3}
    yield "InstanceNormalization", "", [x, zeros("f", 6), zeros("f", 6)], {}
    yield "LayerNormalization", "", [("h", x[1]), ("h", (32,)), ("h", (32,))], {}
    yield "DFT", "", [("f", (2, 60, 1))], {}


def quantized_cases() -> Iterator[tuple[Any, ...]]:
    for letter, zero in (("s", ZERO_S), ("u", ZERO_U)):
        w = zeros(letter, 32, 16)
        yield "QLinearMatMul", "", [("u", (4, 32)), SCALE, ZERO_U, w, SCALE, zero, SCALE, ZERO_U], {}
        yield "MatMulInteger", "", [("u", (4, 32)), w], {}
        yield "DynamicQuantizeMatMul", MS, [("f", (4, 32)), w, SCALE], {}
    bias = np.zeros(16, np.int32)
    yield "QGemm", MS, [("u", (4, 32)), SCALE, ZERO_U, zeros("s", 32, 16), SCALE, ZERO_S, bias, SCALE, ZERO_U], {}
    yield "QLinearAveragePool", MS, [("u", (1, 16, 20, 20)), SCALE, ZERO_U, SCALE, ZERO_U], {"kernel_shape": [2, 2]}
    yield "NhwcMaxPool", MS, [("u", (1, 20, 20, 16))], {"kernel_shape": [2, 2]}


def events(op: str, domain: str, inputs: Sequence[Any], attributes: Mapping[str, Any], outputs: int = 1) -> list[int]:
    """The allocations of one run of the operator alone; an array among the inputs is a weight."""
    import onnxruntime

    generator = np.random.default_rng(0)
    names, infos, weights, feeds = [], [], [], {}
    for i, given in enumerate(inputs):
        names.append("" if given is None else f"x{i}")
        if isinstance(given, np.ndarray):
            weights.append(onnx.numpy_helper.from_array(given, f"x{i}"))
        elif given is not None:
            dtype = np.dtype(TYPES[given[0]])
            number = helper.np_dtype_to_tensor_dtype(dtype)
            infos.append(helper.make_tensor_value_info(f"x{i}", number, given[1]))
            feeds[f"x{i}"] = (2 * generator.random(given[1])).astype(dtype)
    node = helper.make_node(op, names, [f"y{i}" for i in range(outputs)], domain=domain, **attributes)
    results = [helper.make_empty_tensor_value_info(name) for name in node.output]
    graph = helper.make_graph([node], "g", infos, results, weights)
    opsets = [helper.make_opsetid("", 23 if op == "Attention" and not domain else 21), helper.make_opsetid(MS, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return traced(lambda: session.run(None, feeds))["events"]


def line(case: tuple[Any, ...]) -> str:
    op, domain, inputs, attributes, *rest = case
    shapes = [i if i is None else i.shape if isinstance(i, np.ndarray) else i[1] for i in inputs]
    try:
        found: Any = events(*case)
    except Exception as error:  # a kernel that this version does not have
        found = " ".join(str(error).split())[:120]
    return f"{domain or 'ai.onnx'} {op} {shapes} {attributes} {rest or ''} {found}"


def main() -> None:
    if "LD_PRELOAD" not in os.environ:
        with tempfile.TemporaryDirectory() as scratch:
            tracer = compiled(Path(scratch))
            assert tracer is not None, "no C compiler"
            os.spawnve(
                os.P_WAIT, sys.executable, [sys.executable, *sys.argv], {**os.environ, "LD_PRELOAD": str(tracer)}
            )
        return
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    for cases in (conv_cases, recurrent_cases, attention_cases, other_cases, quantized_cases):
        for case in cases():
            if word and word not in case[0]:
                continue
            child = os.fork()
            if not child:
                print(line(case), flush=True)
                os._exit(0)
            os.waitpid(child, 0)


if __name__ == "__main__":
    main()
