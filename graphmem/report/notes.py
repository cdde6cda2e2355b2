"""Issues, what was inferred -> notes for people: those of one kind are one note, with a count and the first names.

    12 issues "no rule for aten.loop: ..." at h0 ... h11   ->   unknown-rule (12): h0: no rule ...; also h1, h2, h3, ...

Documents keep every issue; only what people read is folded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.text import Text

from graphmem.ir.graph import Exactness, Issue
from graphmem.ir.questions import Question
from graphmem.ir.quoting import name_shown, sentence
from graphmem.ir.training import Inferred
from graphmem.report.units import size

NAMED = 3  # places named beside the first
SHOWN = 12  # notes of issues; what is left is counted
READINGS: dict[Exactness, str] = {
    "exact": "exact",
    "at most": "an upper bound",
    "at least": "a lower bound",
    "between": "the likeliest, and the file leaves questions open",
}


@dataclass(frozen=True, slots=True)
class Note:
    """A line for people; `label` is the kind of issue, "note" for what leaves figures exact, "" for what is left."""

    label: str
    text: str


def issue_notes(issues: Sequence[Issue]) -> list[Note]:
    """What was assumed, then what is missing; consequences are counted, not told."""
    assumed = [issue for issue in issues if issue.effect == "exact"]
    roots = [issue for issue in issues if issue.effect != "exact" and issue.is_root]
    folded = [*_folded(assumed), *_folded(roots)]
    told, left = folded[:SHOWN], sum(len(together) for _, together in folded[SHOWN:])
    left += sum(issue.effect != "exact" and not issue.is_root for issue in issues)
    notes = [Note(label, _told(together)) for label, together in told]
    return [*notes, Note("", f"and {left:,} more that follow from these or are like them")] if left else notes


def inferred_notes(inferred: Iterable[Inferred]) -> list[Note]:
    """What was concluded, with its effect on the peak."""
    places: dict[str, list[str]] = {}
    effects: dict[str, str] = {}
    for one in inferred:
        places.setdefault(one.what, []).append(one.where)
        if one.nbytes is not None:
            effects[one.what] = f" ({'-' if one.nbytes < 0 else '+'}{size(abs(one.nbytes))} of the peak)"
    return [
        Note(f"inferred{_times(at)}", sentence(f"{what}{effects.get(what, '')}: {_listed(at)}"))
        for what, at in places.items()
    ]


def question_notes(questions: Iterable[Question]) -> list[Note]:
    """What the file does not tell, the peak under each answer, and the option that answers."""
    return [
        Note(
            f"open question{_times(q.where)}",
            sentence(
                f"{q.what}: {', '.join(f'{a.answer} {size(a.peak)}' for a in q.alternatives)}; {q.evidence}"
                + (f" ({_listed(q.where)})" if q.where else "")
            )
            + f"; answer with {q.option}",
        )
        for q in questions
    ]


def _folded(issues: Iterable[Issue]) -> list[tuple[str, list[Issue]]]:
    """Issues that say the same of other names and numbers together, in the order of the first."""
    alike: dict[tuple[str, str], list[Issue]] = {}
    for issue in dict.fromkeys(issues):
        alike.setdefault((issue.kind, _pattern(issue.what)), []).append(issue)
    return [
        (f"{'note' if together[0].effect == 'exact' else kind}{_times(together)}", together)
        for (kind, _), together in alike.items()
    ]


def _pattern(what: str) -> str:
    """The sentence without the names that it quotes, its numbers and what is bound in it."""
    words = re.sub(r"'[^']*'", "''", what).split()
    return re.sub(r"\d[\d,.]*", "0", " ".join("=" if "=" in word else word for word in words))


def _times(together: Sequence[object]) -> str:
    return f" ({len(together):,})" if len(together) > 1 else ""


def _told(together: Sequence[Issue]) -> str:
    """The first in full, then what the next ones are of."""
    first, *others = together
    text = f"{first.where}: {first.what}"
    if others:
        text += f"; also {_listed([_subject(issue) for issue in others])}"
    return sentence(text)


def _subject(issue: Issue) -> str:
    """What an issue is of: the first name that it quotes, else where it is."""
    quoted = re.search(r"'[^']+'", issue.what)
    return quoted[0] if quoted else issue.where


def _listed(names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    left = len(distinct) - NAMED
    return ", ".join(map(name_shown, distinct[:NAMED])) + (f" and {left:,} more" if left > 0 else "")


def note_lines(notes: Iterable[Note], exactness: Exactness = "exact") -> list[Text]:
    """The notes for a terminal, and how to read figures that are not exact."""
    lines = [
        Text(f"{note.label}: ", style="yellow").append(note.text, style="default")
        if note.label
        else Text(note.text, style="dim")
        for note in notes
    ]
    if exactness != "exact":
        label = "open" if exactness == "between" else "incomplete"
        lines.append(Text(f"{label}: every figure above is {READINGS[exactness]}", style="bold yellow"))
    return lines
