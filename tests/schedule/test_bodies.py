"""Control flow in a schedule: what is captured stays alive, what a body holds counts in its node's step, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import graphmem
from graphmem.ir.analysis import Analysis

Writer = Callable[..., Path]


def timeline(analysis: Analysis) -> list[int]:
    return analysis.inference.timeline.live.tolist()  # type: ignore[no-any-return]


IF = """g (float[4] x, bool c) => (float[4] y) {
  k = Abs (x)
  a = Relu (x)
  b = Neg (a)
  z = If (c) <then_branch = t () => (float[4] p) { q = Exp (k) p = Add (q, k) },
              else_branch = e () => (float[4] r) { r = Sin (b) }>
  y = Add (z, b) }"""


@pytest.mark.parametrize("memory_model", ["plain", "views", "inplace"])
def test_a_tensor_that_a_branch_captures_and_reads_last_is_alive_until_the_if(model: Writer, memory_model: str) -> None:
    alive = graphmem.analyze(model(IF), memory_model=memory_model).inference.lifetimes
    rows = {lifetime.buffer: lifetime for lifetime in alive}
    assert (rows["k"].start, rows["k"].stop) == (0, 4)  # written in step 0, captured by the If in step 3


def test_the_worse_branch_counts_and_the_note_says_which(model: Writer) -> None:
    analysis = graphmem.analyze(model(IF), memory_model="plain")
    # x + c + k, then a and b beside, then k + b + c + z and q inside the branch, then b + z + y
    assert timeline(analysis) == [33, 49, 49, 16 + 16 + 1 + 16 + 16, 48]
    assert "counted is 'then_branch', the worse: 16 bytes inside it, 0 in 'else_branch'" in analysis.issues[-1].what
    assert analysis.is_complete


def test_a_known_condition_decides_the_branch_and_the_other_still_has_its_weights(model: Writer) -> None:
    text = IF.replace(", bool c) => (float[4] y) {", ") => (float[4] y) {\n c = Constant<value = bool {0}>()")
    text = text.replace("t () => (float[4] p)", "t () => (float[4] p) <float[4] w = {1, 1, 1, 1}>")
    analysis = graphmem.analyze(model(text), memory_model="plain")
    assert timeline(analysis) == [32, 48, 48, 48, 48]  # nothing but k, b and z while the If runs
    assert analysis.model.weight_bytes == 1 + 16  # c, and w of the branch that is not taken
    assert [(issue.kind, issue.effect) for issue in analysis.issues] == [("branch", "exact")]


LOOP = """g (float[4] x, int64 n) => (float[4] y, float[T, 4] s) {{
  {count}
  on = Constant <value = bool {{1}}> ()
  y, s = Loop (m, on, x) <body = b (int64 i, bool c, float[4] v) => (bool c, float[4] w, float[4] u) {{
    t = Exp (v)  w = Add (t, x)  u = Sin (t) }}> }}"""


def test_a_loop_holds_its_body_s_peak_beside_what_it_reads_and_writes(model: Writer) -> None:
    path = model(LOOP.format(count="m = Constant <value = int64 {5}> ()"))
    analysis = graphmem.analyze(path, memory_model="plain")
    # x, n (never read, there at the start), y, s[5, 4]; inside i, c, v and t: w is the y of the last trip
    assert timeline(analysis) == [16 + 8 + 16 + 80 + 8 + 1 + 16 + 16]
    assert analysis.is_complete


def test_an_unknown_trip_count_is_missing_until_it_is_stated(model: Writer) -> None:
    path = model(LOOP.format(count="m = Identity (n)"))
    analysis = graphmem.analyze(path)
    assert analysis.exactness == "at least"
    assert "--trip-count y=N" in next(issue.what for issue in analysis.issues if issue.is_root)
    stated = graphmem.analyze(path, trips={"y": 5})
    assert stated.is_complete
    assert str(stated.graph.tensors["s"].type) == "float32[5, 4]"


def test_a_loop_whose_values_change_shape_is_walked_trip_by_trip(model: Writer) -> None:
    analysis = graphmem.analyze(
        model("""g (float[2] x) => (float[N] y) {
          m = Constant <value = int64 {3}> ()
          on = Constant <value = bool {1}> ()
          y = Loop (m, on, x) <body = b (int64 i, bool c, float[N] v) => (bool c, float[M] w) {
            w = Concat <axis = 0> (v, v) }> }""")
    )
    assert str(analysis.graph.tensors["y"].type) == "float32[16]"  # 2 doubled three times
    assert analysis.is_complete


def test_scan_stacks_its_outputs_and_slices_its_inputs_without_copies(model: Writer) -> None:
    path = model("""g (float[2] s, float[3, 2] x) => (float[2] y, float[3, 2] z) {
      y, z = Scan <num_scan_inputs = 1, body = b (float[2] i, float[2] n) => (float[2] o, float[2] p) {
        t = Exp (n)  o = Add (t, i)  p = Sin (o) }> (s, x) }""")
    # s + x + y + z; inside i, t, then i, o (which is y), p; as a buffer of its own n lives until t is there
    assert timeline(graphmem.analyze(path)) == [8 + 24 + 8 + 24 + 16]
    assert timeline(graphmem.analyze(path, memory_model="plain")) == [8 + 24 + 8 + 24 + 24]


def test_a_sequence_holds_copies_of_its_elements(model: Writer) -> None:
    path = model("""g (float[4] x, float[2] y) => (float[6] z) {
      a = Relu (x)  b = Relu (y)  s = SequenceConstruct (a, b)  z = ConcatFromSequence <axis = 0> (s) }""")
    # x + a + y, then y + a + b, then a + b and their copies, then the copies and z
    assert timeline(graphmem.analyze(path, memory_model="plain")) == [40, 32, 24 + 24, 24 + 24]
