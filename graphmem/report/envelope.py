"""Exactness, issues -> what every document says in the same words: its schema, and how to read its figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from graphmem.ir.graph import Exactness, Issue
from graphmem.ir.options import TrainingOptions
from graphmem.ir.questions import Question


def schema_name(kind: str) -> str:
    """What a document of that kind says in "schema"."""
    return f"graphmem.{kind}/1"


def schema_text(kind: str) -> str:
    """The JSON Schema of a kind of document."""
    return files("graphmem.report").joinpath("schemas").joinpath(f"{kind}.json").read_text(encoding="utf-8").rstrip()


def standing(exactness: Exactness, issues: Sequence[Issue]) -> dict[str, Any]:
    """Whether the figures are complete, how to read them, and every issue, unfolded."""
    return {"complete": exactness == "exact", "exactness": exactness, "issues": issue_documents(issues)}


def step_document(options: TrainingOptions) -> dict[str, Any]:
    """The training step that the figures are of: what every way to run it has, and what else was asked for."""
    return {
        "loss": options.loss,
        "optimizer": options.optimizer,
        "form": options.optimizer_form,
        "device": options.device,
        "frozen": list(options.freeze),
        **others_given(options),
    }


def question_documents(questions: Iterable[Question]) -> list[dict[str, Any]]:
    """What a file does not tell of a step, with the peak under each answer."""
    return [
        {
            "what": question.what,
            "where": list(question.where),
            "evidence": question.evidence,
            "alternatives": [{"answer": a.answer, "peak_bytes": a.peak} for a in question.alternatives],
            "option": question.option,
        }
        for question in questions
    ]


NAMED = (
    "loss", "optimizer", "form", "device", "freeze", "precision", "accumulate", "checkpoint", "lora", "offload",
)  # fmt: skip


def others_given(options: TrainingOptions) -> dict[str, Any]:
    """The options that no report has words of its own for, where they are not at their defaults."""
    return {name: value for name, value in options.given.items() if name not in NAMED}


def others_said(options: TrainingOptions) -> list[str]:
    """The same in words: "weight decay", "dropout 0.1"."""
    words = {name.replace("_", " "): value for name, value in others_given(options).items()}
    return [_said(name, value) for name, value in words.items()]


def _said(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {' '.join(value) if isinstance(value, tuple) else value}"


def issue_documents(issues: Iterable[Issue]) -> list[dict[str, Any]]:
    """Every issue; those that follow from another one are no roots."""
    return [{"kind": i.kind, "where": i.where, "what": i.what, "effect": i.effect, "root": i.is_root} for i in issues]
