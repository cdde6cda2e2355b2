"""Which kernels of ONNX Runtime's CPU provider take an input's buffer over: each alone, under the allocation tracer.

    python benchmarks/ort_probe_sharing.py

`a = Neg(x); b = OP(a); y = Neg(b)` allocates a, b and y; two allocations of that size instead of three mean that b
lives in a's buffer. The lines are what graphmem/ort/kernels/sharing.py states.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper

from graphmem.measure.process import compiled, traced

SHAPE = (48, 48)
SMALL = np.ones(SHAPE[-1], np.float32)
UNARY = """
Abs Acos Asin Atan Ceil Celu Clip Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity LeakyRelu Log
LogSoftmax Mish Neg Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt
Tan Tanh ThresholdedRelu Trilu Transpose Dropout Hardmax
"""
MICROSOFT = ("Gelu", "FastGelu", "QuickGelu")
OTHER = {
    "Cast": ((), {"to": T.INT32}),
    "Reshape": ((np.array(SHAPE),), {}),
    "Flatten": ((), {}),
    "Add": ((SMALL,), {}),
    "Mul": ((SMALL,), {}),
    "Pow": ((np.float32(2) * np.ones(1, np.float32),), {}),
    "Max": ((SMALL,), {}),
    "PRelu": ((SMALL,), {}),
    "LayerNormalization": ((SMALL, SMALL), {}),
    "ScatterElements": ((np.zeros((2, 2), np.int64), np.ones((2, 2), np.float32)), {}),
    "ScatterND": ((np.zeros((2, 1), np.int64), np.ones((2, SHAPE[1]), np.float32)), {}),
    "CumSum": ((np.array(0),), {}),
    "Expand": ((np.array(SHAPE),), {}),
    "BatchNormalization": ((SMALL, SMALL, SMALL, SMALL), {}),
}


def takes_over(op_type: str, domain: str, extra: tuple[np.ndarray, ...], attributes: dict) -> bool:
    """True when the output lives in the first input's buffer."""
    import onnxruntime

    names = [f"k{i}" for i in range(len(extra))]
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node(op_type, ["a", *names], ["b"], domain=domain, **attributes),
        helper.make_node("Neg", ["b"], ["y"]),
    ]
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in zip(names, extra, strict=True)]
    out = T.INT32 if op_type == "Cast" else T.FLOAT
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", T.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", out, SHAPE)],
        weights,
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = np.full(SHAPE, 0.5, np.float32)
    events = traced(lambda: session.run(None, {"x": x}))["events"]
    return sum(event == x.nbytes for event in events) == 2


def main() -> None:
    if "LD_PRELOAD" not in os.environ:
        with tempfile.TemporaryDirectory() as scratch:
            tracer = compiled(Path(scratch))
            assert tracer is not None, "no C compiler"
            os.spawnve(os.P_WAIT, sys.executable, [sys.executable, __file__], {**os.environ, "LD_PRELOAD": str(tracer)})
        return
    rows = [(op, "", (), {}) for op in UNARY.split()] + [(op, "com.microsoft", (), {}) for op in MICROSOFT]
    rows += [(op, "", extra, attributes) for op, (extra, attributes) in OTHER.items()]
    for op, domain, extra, attributes in rows:
        try:
            verdict = "in place" if takes_over(op, domain, extra, attributes) else "own buffer"
        except Exception as error:  # a kernel that this version does not have
            verdict = " ".join(str(error).split())[:80]
        print(f"{domain or 'ai.onnx':14} {op:20} {verdict}")


if __name__ == "__main__":
    main()
