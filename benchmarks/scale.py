"""python benchmarks/scale.py [--nodes 50000] [--million]: time and memory of reading large graphs, beside the peers.

Every reader runs in a process of its own, on the same file, in one run; peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import TensorProto, helper

ROWS, WIDTH, LAYER_NODES = 128, 256, 20


def chain(nodes: int) -> onnx.ModelProto:
    """Relu after Relu."""
    body = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"], name=f"n{i}") for i in range(nodes)]
    return _model(body, f"t{nodes}")


def transformer(nodes: int) -> onnx.ModelProto:
    """Attention and feed-forward blocks of 20 nodes, shape arithmetic included."""
    body: list[onnx.NodeProto] = []
    last = "t0"
    for layer in range(nodes // LAYER_NODES):
        last = _layer(body, last, f"l{layer}")
    square = helper.make_tensor("w", TensorProto.FLOAT, [WIDTH, WIDTH], b"\0" * (4 * WIDTH * WIDTH), raw=True)
    tail = helper.make_tensor("tail", TensorProto.INT64, [2], [8, WIDTH // 8])
    flat = helper.make_tensor("flat", TensorProto.INT64, [1], [WIDTH])
    pair = helper.make_tensor("pair", TensorProto.INT64, [2], [0, 1])
    return _model(body, last, [square, tail, flat, pair])


def _layer(body: list[onnx.NodeProto], x: str, p: str) -> str:
    def add(op: str, *inputs: str, **attributes: object) -> str:
        name = f"{p}_{len(body)}"
        body.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    lead = add("Gather", add("Shape", x), "pair")
    heads, merged = add("Concat", lead, "tail", axis=0), add("Concat", lead, "flat", axis=0)
    q, k, v = (add("MatMul", x, "w") for _ in range(3))
    q, k, v = (add("Reshape", t, heads) for t in (q, k, v))
    scores = add("MatMul", add("Transpose", q, perm=[0, 2, 1, 3]), add("Transpose", k, perm=[0, 2, 3, 1]))
    mixed = add("MatMul", add("Softmax", scores, axis=-1), add("Transpose", v, perm=[0, 2, 1, 3]))
    joined = add("Reshape", add("Transpose", mixed, perm=[0, 2, 1, 3]), merged)
    return add("Add", x, add("Relu", joined))


def _model(body: list[onnx.NodeProto], last: str, weights: list[onnx.TensorProto] | None = None) -> onnx.ModelProto:
    given = helper.make_tensor_value_info("t0", TensorProto.FLOAT, [1, ROWS, WIDTH])
    result = helper.make_tensor_value_info(last, TensorProto.FLOAT, None)
    graph = helper.make_graph(body, "g", [given], [result], weights or [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _graphmem_read(path: Path) -> None:
    from graphmem.reader import read

    read(path)


def _graphmem_analyze(path: Path) -> None:
    import graphmem

    graphmem.analyze(path)


def _onnx(path: Path) -> None:
    onnx.shape_inference.infer_shapes(onnx.load(path), data_prop=True)


def _onnxruntime(path: Path) -> None:
    from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

    SymbolicShapeInference.infer_shapes(onnx.load(path), auto_merge=True)


def _onnx_shape_inference(path: Path) -> None:
    import onnx_ir
    import onnx_shape_inference

    onnx_shape_inference.infer_symbolic_shapes(onnx_ir.load(path))


def _onnxsim(path: Path) -> None:
    import onnxsim

    onnxsim.simplify(onnx.load(path))


READERS: dict[str, Callable[[Path], None]] = {
    "graphmem, types": _graphmem_read,
    "graphmem, analysis": _graphmem_analyze,
    "onnx infer_shapes": _onnx,
    "onnxruntime symbolic": _onnxruntime,
    "onnx-shape-inference": _onnx_shape_inference,
    "onnxsim": _onnxsim,
}


def measured(reader: str, path: Path, limit: int) -> str:
    """One line: seconds and the most memory of one reader on one file."""
    command = [sys.executable, __file__, "--one", reader, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return f"more than {limit} s"
    return done.stdout.strip() if done.returncode == 0 else done.stderr.strip().splitlines()[-1][:80]


def one(reader: str, path: Path) -> None:
    """In a process of its own: read once a small file, so that imports do not count, then the file."""
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.onnx"
        onnx.save(chain(3), small)
        READERS[reader](small)
    began = time.perf_counter()
    READERS[reader](path)
    seconds = time.perf_counter() - began
    status = Path("/proc/self/status").read_text()  # ru_maxrss would be that of the parent, which built the graph
    most = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(f"{seconds:8.2f} s  {most / 1024:8.0f} MiB")


def main() -> None:
    """Build the graphs, run every reader on each, print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=50_000)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--one", nargs=2)
    options = parser.parse_args()
    if options.one:
        one(options.one[0], Path(options.one[1]))
        return
    graphs = [(f"chain of {options.nodes}", chain(options.nodes))]
    graphs += [(f"transformer of {n} nodes", transformer(n)) for n in (5_000, 10_000, 20_000)]
    if options.million:
        graphs.append(("chain of 1000000", chain(1_000_000)))
    with tempfile.TemporaryDirectory() as folder:
        for title, model in graphs:
            path = Path(folder) / "model.onnx"
            onnx.save(model, path)
            print(title)
            for reader in READERS:
                print(f"  {reader:24s}{measured(reader, path, options.limit)}", flush=True)


if __name__ == "__main__":
    main()
