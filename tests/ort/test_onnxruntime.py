"""The planner's rules, one by one, on graphs of a few nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graphmem.ir.runtime import KnownDims, RuntimeGraph
from graphmem.ir.types import TensorType
from graphmem.memory.liveness import lifetimes, timeline
from graphmem.ort.plan import runtime_plan
from graphmem.ort.sharing import sharing
from graphmem.reader import read


def runtime(path: Path, known: dict[str, KnownDims] | None = None) -> RuntimeGraph:
    """The file as if ONNX Runtime executed it as it is, knowing all shapes but those given."""
    graph = read(path)
    types = {name: tensor.type for name, tensor in graph.tensors.items()}
    dims = {name: t.shape for name, t in types.items() if isinstance(t, TensorType)}
    return RuntimeGraph(graph, {**dims, **(known or {})}, {n: i for i, n in enumerate(types)}, "1.31.1", types=types)


def peak(runtime: RuntimeGraph, reuse: bool = True) -> int:
    schedule = runtime_plan(runtime, reuse).schedule
    return timeline(lifetimes(schedule), schedule).peak


CHAIN = "g (float[16] x) => (float[16] y) { a = Exp(x) b = Neg(a) c = Neg(b) y = Neg(c) }"


def test_a_chain_reuses_the_buffer_freed_last(model: Callable[..., Path]) -> None:
    found = runtime(model(CHAIN))
    assert sharing(found, found.graph, reuse=True) == {"a": "a", "b": "b", "c": "a", "y": "y"}


def test_a_reused_buffer_is_held_through_its_whole_chain(model: Callable[..., Path]) -> None:
    schedule = runtime_plan(runtime(model(CHAIN))).schedule
    alive = {row.buffer: (row.start, row.stop) for row in lifetimes(schedule)}
    assert alive == {"a": (0, 4), "b": (1, 3), "y": (3, 4)}  # a is held in step 2 already, where c takes it over
    assert peak(runtime(model(CHAIN)), reuse=False) == 64 + 64


@pytest.mark.parametrize(
    ("text", "homes"),
    [
        pytest.param(
            "g (float[4,4] x) => (float[1,16] y) { a = Exp(x) b = Flatten<axis = 0>(a) c = Neg(b) y = Add(b, c) }",
            {"b": "a"},
            id="an alias shares even when it is read again",
        ),
        pytest.param(
            "g (float[16] x) => (float[16] y) { a = Exp(x) b = Relu(a) y = Neg(b) }",
            {"b": "a"},
            id="in place on the last use",
        ),
        pytest.param(
            "g (float[16] x) => (float[16] y) { a = Exp(x) b = Relu(a) y = Add(a, b) }",
            {"b": "b"},
            id="not in place when the input is read again",
        ),
        pytest.param(
            "g (float[16] x) => (float[16] y) { a = Relu(x) y = Neg(a) }",
            {"a": "a"},
            id="an input belongs to the caller",
        ),
        pytest.param(
            "g (float[4,4] x) => (float[1,16] y) { a = Exp(x) y = Flatten<axis = 0>(a) }",
            {"y": "y"},
            id="a graph output is fresh even of an alias",
        ),
        pytest.param(
            "g (float[4,4] x) => (float[2,8] y) { a = Exp(x) b = Reshape(x, s) c = Neg(b) y = Add(b, c) }",
            {"c": "c"},
            id="one size in two shapes is no match",
        ),
    ],
)
def test_where_values_live(model: Callable[..., Path], text: str, homes: dict[str, str]) -> None:
    text = text.replace("{ a = Exp(x) b = Reshape(x, s)", "<int64[2] s = {2, 8}> { a = Exp(x) b = Reshape(x, s)")
    found = runtime(model(text))
    homed = sharing(found, found.graph, reuse=True)
    assert {name: homed[name] for name in homes} == homes


def test_symbols_match_only_themselves(model: Callable[..., Path]) -> None:
    same: dict[str, KnownDims] = dict.fromkeys("abc", ("n",))
    found = runtime(model(CHAIN), same)
    assert sharing(found, found.graph, reuse=True)["c"] == "a"
    other = runtime(model(CHAIN), same | {"c": ("m",)})
    assert sharing(other, other.graph, reuse=True)["c"] == "c"
    unknown = runtime(model(CHAIN), dict.fromkeys("abc", (None,)))
    assert sharing(unknown, unknown.graph, reuse=True)["c"] == "c"


def test_a_value_that_nobody_reads_takes_no_buffer_and_stays(model: Callable[..., Path]) -> None:
    text = (
        "g (float[8,16] x) => (float[4,16] y) { a, u = Split<axis = 0>(x) b = Neg(a) c, v = Split<axis = 0>(x) "
        "y = Add(b, c) }"
    )
    found = runtime(model(text))
    assert sharing(found, found.graph, reuse=True)["v"] == "v"
    leaving = {runtime_plan(found).schedule.buffers[i].name for i in runtime_plan(found).schedule.leaving}
    assert leaving == {"v", "y"}  # u's buffer is taken over by b, which is read


def test_sizes_are_rounded_to_64_bytes(model: Callable[..., Path]) -> None:
    assert peak(runtime(model("g (float[3] x) => (float[3] y) { a = Exp(x) y = Neg(a) }"))) == 64 + 64


def test_workspace_counts_in_its_step_alone(model: Callable[..., Path]) -> None:
    text = "g (float[4,16] x) => (float[4,16] y) { a = Softmax<axis = 0>(x) y = Neg(a) }"
    assert peak(runtime(model(text))) == 256 + 2 * 256  # a and both transposed copies


def test_an_output_that_is_an_initializer_is_copied_into_a_buffer_of_its_own(model: Callable[..., Path]) -> None:
    text = "g (float[64] x) => (float[64] z, float[4] c) <float[4] c = {1, 1, 1, 1}> { z = Sin (x) }"
    buffers = runtime_plan(runtime(model(text))).schedule.buffers
    assert sorted((b.name, b.nbytes, b.kind) for b in buffers) == [("c", 64, "output"), ("z", 256, "output")]
