"""Size of the page, seconds to write it, and milliseconds of a click in headless Chromium, by number of operations.

    python benchmarks/report.py [--train] [OPERATIONS]...      (default 1000 5000 10000; needs chromium and selenium)

The model is residual blocks of five operations with module scopes and source lines, as PyTorch exports them. A click is
timed inside the page from the event to the end of the frame that shows it. With --train both commands show an AdamW
step, the page in a second tab in which the clicks are.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import onnx
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.report.browser import opened

CLICK = """
const done = arguments[0], row = current.run.rows[Math.floor(Math.random() * current.run.rows.length)];
const start = performance.now();
PICK;
document.body.offsetHeight;
requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
"""
TENSOR, STEP = (CLICK.replace("PICK", pick) for pick in ("current.pick([row])", "current.pickStep(row.start)"))


def residual_model(operations: int) -> onnx.ModelProto:
    """Blocks of Sigmoid, Mul, Mul by a weight, Relu and Add around a residual stream."""
    nodes, weights, stream = [], [], "x"
    for block in range(operations // 5):
        scope = f"model.layers.{block // 10}.block{block % 10}"
        a, b, c, d, e = (f"{name}_{block}" for name in ("sigmoid", "mul", "scaled", "relu", "add"))
        weights.append(helper.make_tensor(f"{scope}.weight", TensorProto.FLOAT, [256], bytes(1024), raw=True))
        calls = [("Sigmoid", [stream], a), ("Mul", [stream, a], b), ("Mul", [b, weights[-1].name], c), ("Relu", [c], d)]
        for line, (operator, inputs, output) in enumerate([*calls, ("Add", [d, stream], e)]):
            node = helper.make_node(operator, inputs, [output], name=f"node_{output}")
            node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=str(["", scope, output]))
            node.metadata_props.add(key="pkg.torch.onnx.class_hierarchy", value=str(["Model", "Block", "aten"]))
            trace = f'File "src/modeling_residual.py", line {100 + line}, in forward'
            node.metadata_props.add(key="pkg.torch.onnx.stack_trace", value=trace)
            nodes.append(node)
        stream = e
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [8, 128, 256]) for name in ("x", stream)]
    graph = helper.make_graph(nodes, "residual", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def measured(operations: int, folder: Path, options: list[str]) -> str:
    """One line of the table."""
    model, page = folder / f"{operations}.onnx", folder / f"{operations}.html"
    onnx.save(residual_model(operations), model)
    seconds = []
    for command, target in (("report", page), ("draw", page.with_suffix(".svg"))):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "graphmem", command, str(model), *options, "-o", str(target)], check=True)
        seconds.append(time.perf_counter() - start)
    driver = opened(folder / f"profile{operations}")
    driver.get(page.as_uri())
    if options:
        driver.execute_script("open(1)")
    load = driver.execute_script("return performance.now()")
    clicks = [[driver.execute_async_script(script) for _ in range(15)] for script in (TENSOR, STEP)]
    driver.quit()
    figures = "".join(f"{statistics.median(c):9.0f}{max(c):7.0f}" for c in clicks)
    return f"{operations:10}{page.stat().st_size / 1e3:9.0f}{seconds[0]:9.2f}{seconds[1]:8.2f}{load:8.0f}{figures}"


def main() -> None:
    """Print a line for every number of operations."""
    arguments = sys.argv[1:]
    options = ["--train", "--optimizer", "adamw"] if "--train" in arguments else []
    counts = [argument for argument in arguments if argument != "--train"]
    print("operations  page kB  report s  draw s loaded ms   tensor ms (max)  step ms (max)")
    with tempfile.TemporaryDirectory() as folder:
        for operations in map(int, counts or ["1000", "5000", "10000"]):
            print(measured(operations, Path(folder), options), flush=True)


if __name__ == "__main__":
    main()
