"""Notes: those of one kind are one line, in the order of the first, with a count; documents keep every issue."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmem.ir.graph import ISSUE_KINDS, Issue
from graphmem.ir.quoting import LONGEST_LINE
from graphmem.ir.training import Inferred
from graphmem.report.envelope import issue_documents, standing
from graphmem.report.notes import SHOWN, inferred_notes, issue_notes, note_lines

LOOP = "no rule for aten.loop: inputs and outputs are counted as saved"


def issue(where: str, what: str, kind: str = "unknown-rule", is_root: bool = True) -> Issue:
    return Issue(kind, where, what, is_root)


@pytest.mark.parametrize(
    ("issues", "told"),
    [
        ([], []),
        ([issue("h0", LOOP)], [("unknown-rule", f"h0: {LOOP}")]),
        ([issue("h0", LOOP), issue("h0", LOOP)], [("unknown-rule", f"h0: {LOOP}")]),
        ([issue(f"h{i}", LOOP) for i in range(2)], [("unknown-rule (2)", f"h0: {LOOP}; also h1")]),
        (
            [issue(f"h{i}", LOOP) for i in range(40)],
            [("unknown-rule (40)", f"h0: {LOOP}; also h1, h2, h3 and 36 more")],
        ),
        (
            [issue("n", f"'v{i}' is at most int64[0..{i}]", "data-dependent") for i in range(3)],
            [("data-dependent (3)", "n: 'v0' is at most int64[0..0]; also 'v1', 'v2'")],
        ),
        (
            [issue("x", f"'{d}' is free, 1 assumed; bind it with --dim {d}=N", "free-dimension") for d in "ab"],
            [("note (2)", "x: 'a' is free, 1 assumed; bind it with --dim a=N; also 'b'")],
        ),
        ([issue("h", LOOP), issue("k", "another")], [("unknown-rule", f"h: {LOOP}"), ("unknown-rule", "k: another")]),
        (
            [issue("h", LOOP), issue("k", "follows", is_root=False)],
            [("unknown-rule", f"h: {LOOP}"), ("", "and 1 more that follow from these or are like them")],
        ),
        ([issue("h", LOOP), issue("b", "is 2", "batch")], [("note", "b: is 2"), ("unknown-rule", f"h: {LOOP}")]),
    ],
)
def test_notes_of_one_kind_are_one(issues: list[Issue], told: list[tuple[str, str]]) -> None:
    assert [(note.label, note.text) for note in issue_notes(issues)] == told


def test_notes_beyond_a_screen_are_counted() -> None:
    issues = [issue("h", "word " * i) for i in range(1, SHOWN + 6)]
    notes = issue_notes(issues)
    assert len(notes) == SHOWN + 1
    assert notes[-1].text.startswith("and 5 more")


@given(
    st.lists(
        st.builds(
            Issue,
            st.sampled_from(sorted(ISSUE_KINDS)),
            st.sampled_from(["a", "b", "node 'c' (Op)"]),
            st.sampled_from(["'v1' is lost", "'v2' is lost", "3 are lost", "lost", "x" * 5000]),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_folding_counts_every_distinct_issue_once_and_documents_keep_all(issues: list[Issue]) -> None:
    notes = issue_notes(issues)
    counted = 0
    for note in notes:
        _, _, times = note.label.partition(" (")
        counted += int(times.rstrip(")")) if times else 1 if note.label else int(note.text.split()[1])
        assert note.text.isprintable()
        assert len(note.text) <= LONGEST_LINE
    told = set(issues) - {i for i in issues if not i.is_root and i.effect != "exact"}
    assert counted == len(told) + sum(not i.is_root and i.effect != "exact" for i in issues)
    assert len(issue_documents(issues)) == len(issues)
    assert notes == issue_notes(issues)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_first_of_a_kind_is_told_in_full(order: tuple[int, ...]) -> None:
    first, *others = order
    (note,) = issue_notes([issue(f"h{i}", LOOP) for i in order])
    assert note.text == f"h{first}: {LOOP}; also " + ", ".join(f"h{i}" for i in others)


@pytest.mark.parametrize(
    ("inferred", "told"),
    [
        ([Inferred("dropout", "h0", "")], [("inferred", "dropout: h0")]),
        (
            [Inferred("dropout", f"h{i}", "", 2048) for i in range(30)],
            [("inferred (30)", "dropout (+2.00 KiB of the peak): h0, h1, h2 and 27 more")],
        ),
        (
            [Inferred("a", "h", "", -1), Inferred("b", "h", "")],
            [("inferred", "a (-1 B of the peak): h"), ("inferred", "b: h")],
        ),
    ],
)
def test_what_was_inferred_is_one_note_a_kind(inferred: list[Inferred], told: list[tuple[str, str]]) -> None:
    assert [(note.label, note.text) for note in inferred_notes(inferred)] == told


@pytest.mark.parametrize(("exactness", "reading"), [("at most", "an upper bound"), ("at least", "a lower bound")])
def test_figures_that_are_bounds_say_so_last(exactness: str, reading: str) -> None:
    lines = note_lines(issue_notes([issue("h", LOOP)]), exactness)  # type: ignore[arg-type]
    assert [line.plain for line in lines] == [
        f"unknown-rule: h: {LOOP}",
        f"incomplete: every figure above is {reading}",
    ]
    assert standing(exactness, [])["complete"] is False  # type: ignore[arg-type]
