"""The simulated machine: its context, its books, and what it makes of a rule that trips."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from graphmem import train
from graphmem.autograd.machine import Machine, op
from graphmem.autograd.registry import RULES as WRITTEN
from graphmem.autograd.rules import RULES, rule_of
from graphmem.autograd.saved_hooks import EarlyStop
from graphmem.autograd.trace import Context
from graphmem.ir.errors import STRICT, ModelError
from graphmem.ir.graph import Node
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Program
from graphmem.raising import raised
from graphmem.raising.draft import Draft
from graphmem.raising.operators import CONVERTERS
from graphmem.reader import read
from graphmem.schedule.eager import TrainingTrace, forward_trace, training_trace
from graphmem.schedule.programs import program_of

Write = Callable[..., Path]
Step: TypeAlias = Mapping[str, object]


def held(typed: str, count: int) -> str:
    return f"{typed} = {{{', '.join(['1'] * count)}}}"


MLP = f"""g (float[4,8] x) => (float[4,3] y)
<{held("float[8,16] w1", 128)}, {held("float[16] b1", 16)}, {held("float[16,3] w2", 48)}, {held("float[3] b2", 3)}> {{
  h = Gemm(x, w1, b1)  r = Relu(h)  n = Tanh(r)  y = Gemm(n, w2, b2)
}}"""
STEPS = (
    {}, {"precision": "bf16"}, {"precision": "fp16-amp"}, {"optimizer": "adamw", "form": "foreach"},
    {"accumulate": 3}, {"offload": ("activations",)}, {"device": "cuda", "optimizer": "momentum"},
)  # fmt: skip


@pytest.fixture
def lenient() -> Iterator[None]:
    """As users have it: a rule that trips costs its call alone."""
    before = STRICT.set(False)
    yield
    STRICT.reset(before)


def step_of(model: Write, text: str = MLP, **options: object) -> tuple[Program, TrainingTrace]:
    program = raised(read(model(text)))
    return program, training_trace(program, TrainingOptions(**options))  # type: ignore[arg-type]


def test_a_context_is_left_however_its_block_ends() -> None:
    m = Machine()

    def leave() -> None:
        with m.within(kind="temporary", label="inside"), m.within(label="deeper"):
            assert (m.context.kind, m.context.label, m.context.phase) == ("temporary", "deeper", "forward")
            raise EarlyStop

    with pytest.raises(EarlyStop):
        leave()
    assert m.context == Context()


def test_all_that_is_allocated_bears_the_context_of_its_block() -> None:
    m = Machine()
    with m.within(phase="backward", kind="temporary", label="a", node="N"):
        m.empty((2,), "float32")
    m.empty((2,), "float32")
    assert [(r.kind, r.name) for r in m.records] == [("temporary", "a"), ("activation", "")]
    assert [(s.phase, s.node) for s in m.steps] == [("backward", "N"), ("forward", "")]


@pytest.mark.parametrize("options", STEPS, ids=str)
def test_every_allocation_of_a_step_is_freed_once_or_lives(model: Write, options: Step) -> None:
    _, trace = step_of(model, **options)
    events = trace.machine.events
    assert len(set(events)) == len(events)
    opened: set[int] = set()
    for event in events:
        assert event > 0 or -event in opened
        opened ^= {abs(event)}
    alive = {n + 1 for n, r in enumerate(trace.machine.records) if r.stop < 0}
    assert opened == alive


@pytest.mark.parametrize("options", STEPS, ids=str)
def test_only_state_gradients_and_the_locals_of_the_loop_outlive_a_step(model: Write, options: Step) -> None:
    _, trace = step_of(model, **options)
    left = [r for r in trace.machine.records if r.stop < 0 and r.kind in ("activation", "temporary", "workspace")]
    assert {r.name for r in left} <= {"y", "loss"}  # `out` and `loss` are names of the caller


@pytest.mark.parametrize("options", STEPS, ids=str)
def test_handles_that_a_step_takes_are_given_back(model: Write, options: Step) -> None:
    _, trace = step_of(model, **options)
    assert len(trace.machine.scopes) == 1
    assert not trace.machine.inner
    assert not trace.machine.frames
    assert trace.machine.context == Context()


@pytest.mark.parametrize("options", STEPS, ids=str)
def test_twice_the_batch_is_twice_what_waits_for_the_backward(model: Write, options: Step) -> None:
    program, once = step_of(model, **options)
    path = model(MLP.replace("[4,", "[8,"), "twice.onnx")
    twice = training_trace(raised(read(path)), TrainingOptions(**options))  # type: ignore[arg-type]
    weights = {n for n in once.saved if once.machine.records[n].shape in {(8, 16), (16, 3)}}  # casts of autocast
    small = {n for n in once.saved if once.machine.records[n].nbytes <= 8}  # the loss and numbers
    sizes = [[t.machine.records[n].nbytes for n in t.saved if n not in weights | small] for t in (once, twice)]
    assert sizes[1] == [2 * nbytes for nbytes in sizes[0]]
    assert program.batch is None


def test_a_batch_that_the_file_fixes_is_that_of_the_program(model: Write) -> None:
    """The step of the file at 4, run at 8, is that of the file at 8."""
    graph = read(model(MLP))
    program = program_of(graph, (4, 8))
    assert program.batch == (4, 8)
    other = raised(read(model(MLP.replace("[4,", "[8,"), "twice.onnx")))
    one, two = (training_trace(p, TrainingOptions()).schedule for p in (program, other))
    assert [b.nbytes for b in one.buffers] == [b.nbytes for b in two.buffers]
    assert program_of(graph, None).batch is None


def test_a_program_that_is_rebatched_again_remembers_the_batch_of_the_file(model: Write) -> None:
    from graphmem.autograd.rebatch import rebatched

    program = program_of(read(model(MLP)), (4, 8))
    assert rebatched(program, 8, 2).batch == (4, 2)
    assert [g.type.shape for g in rebatched(program, 8, 2).of("input")] == [(2, 8)]


def test_nothing_is_saved_under_no_grad(model: Write) -> None:
    program = raised(read(model(MLP)))
    trace = forward_trace(program, "cpu")
    waiting = [r.name for r in trace.machine.records if r.kind == "activation" and r.stop < 0]
    assert waiting == ["y"]  # the output, which the caller holds
    assert not trace.machine.sequence


def test_rules_are_all_there_on_import() -> None:
    code = "from graphmem.autograd.rules import RULES as r; n = len(r); r['aten.add']; print(n)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(out) == len(RULES) == len(WRITTEN)
    assert rule_of("aten.add.Tensor") is RULES["aten.add"]


@op("aten::odd")
def odd(m: Machine, *_: object) -> None:
    """A rule that trips after it has allocated."""
    m.empty((64,), "float32")
    raise KeyError("a slip")


def test_a_slip_of_a_rule_is_an_error_here(model: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "aten.tanh", odd)
    with pytest.raises(KeyError, match="a slip"):
        train(model(MLP))


@pytest.mark.usefixtures("lenient")
def test_for_users_a_slip_costs_its_call_alone(model: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "aten.tanh", odd)
    found = train(model(MLP))
    told = "the rule of aten.tanh does not fit this call: inputs and outputs are counted as saved"
    assert [(i.kind, i.where, i.what) for i in found.issues if i.kind == "unknown-rule"] == [
        ("unknown-rule", "n", told)
    ]
    assert found.exactness == "at most"


def test_a_call_without_a_rule_is_said_to_have_none(model: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, "aten.tanh")
    assert any(i.what.startswith("no rule for aten.tanh") for i in train(model(MLP)).issues)


@pytest.mark.usefixtures("lenient")
def test_a_slip_of_a_backward_function_names_the_model(model: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(m: Machine, x: object) -> object:
        out = m.empty((4, 16), "float32")
        m.record("OddBackward0", [x], [out], lambda *_: {}[0])  # type: ignore[list-item]
        return out

    monkeypatch.setitem(RULES, "aten.tanh", run)
    with pytest.raises(ModelError, match="the backward pass of 'odd' cannot be followed"):
        train(model(MLP, "odd.onnx"))


@pytest.mark.usefixtures("lenient")
def test_for_users_a_slip_of_a_converter_costs_its_node_alone(model: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def trips(draft: Draft, node: Node) -> None:
        draft.emit("aten.tanh", (node.inputs[0],), ("half done",), node.origin)
        raise KeyError("a slip")

    monkeypatch.setitem(CONVERTERS, "Tanh", trips)
    found = train(model(MLP))
    told = "the rule of Tanh does not fit this call: inputs and outputs are counted as saved"
    assert [(i.kind, i.where, i.what) for i in found.issues if i.kind == "unknown-rule"] == [
        ("unknown-rule", "n", told)
    ]
    assert found.exactness == "at most"
