"""Gates -> text, JSON, GitHub annotations, JUnit, SARIF or Markdown: one line for each, failing ones first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphmem.ir.gate import Gate
from graphmem.ir.quoting import (
    clipped,
    file_uri,
    github_message,
    github_property,
    json_text,
    lines_text,
    markdown,
    markup,
    sarif_message,
)
from graphmem.ir.version import __version__
from graphmem.report.envelope import schema_name
from graphmem.report.units import size

RULES = {
    "max-peak": "Weights and activations at the peak exceed the limit",
    "max-activations": "Activations at the peak exceed the limit",
    "max-weights": "Weights exceed the limit",
    "max-arena": "The arena for all activations exceeds the limit",
    "max-train-peak": "The peak of a training step exceeds the limit",
    "device": "The model does not fit the device",
    "min-batch": "The model does not fit at the least batch wanted",
    "max-increase": "The peak grew more than allowed over the baseline",
}


def said(gate: Gate) -> str:
    """The gate as a sentence: figure, limit, and where the peak is."""
    sign = "" if gate.is_proved else ">= "
    relation = "<=" if gate.figure <= gate.limit else ">"
    reason = "" if gate.is_proved else ", and the figure is incomplete"
    place = f" ({clipped(gate.where)})" if gate.where else ""
    return f"{gate.what} {sign}{size(gate.figure)} {relation} {size(gate.limit)}{reason}{place}"


def gates_text(gates: Sequence[Gate]) -> str:
    """One line per gate."""
    return lines_text(f"{'ok  ' if g.passes else 'FAIL'} {g.model}  --{g.name}  {said(g)}" for g in _sorted(gates))


def gates_json(gates: Sequence[Gate]) -> str:
    """Schema graphmem.check/1."""
    document = {
        "schema": schema_name("check"),
        "passes": all(gate.passes for gate in gates),
        "gates": [
            {
                "model": gate.model,
                "gate": gate.name,
                "passes": gate.passes,
                "complete": gate.is_proved,
                "figure_bytes": gate.figure,
                "limit_bytes": gate.limit,
                "where": gate.where,
            }
            for gate in gates
        ],
    }
    return json_text(document)


def gates_github(gates: Sequence[Gate]) -> str:
    """Workflow commands; "%", line ends and in properties ":" and "," are escaped as GitHub asks."""
    lines = []
    for gate in _sorted(gates):
        kind = "notice" if gate.passes else "error"
        title, file = github_property(f"graphmem {gate.name}"), github_property(gate.model)
        lines.append(f"::{kind} title={title},file={file}::{github_message(said(gate))}")
    return "\n".join(lines)


def gates_junit(gates: Sequence[Gate]) -> str:
    """One test case per gate."""
    failures = sum(not gate.passes for gate in gates)
    cases = []
    for gate in gates:
        inside = "" if gate.passes else f'<failure message="{markup(said(gate))}"/>'
        cases.append(f'  <testcase classname="{markup(gate.model)}" name="{markup(gate.name)}">{inside}</testcase>')
    head = f'<testsuite name="graphmem" tests="{len(gates)}" failures="{failures}" errors="0" skipped="0">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *cases, "</testsuite>"])


def gates_sarif(gates: Sequence[Gate]) -> str:
    """SARIF 2.1.0: failing gates as errors, the others as results that pass."""
    rules = [{"id": name, "shortDescription": {"text": text}} for name, text in RULES.items()]
    results = [
        {
            "ruleId": gate.name,
            "ruleIndex": list(RULES).index(gate.name),
            "kind": "pass" if gate.passes else "fail",
            "level": "none" if gate.passes else "error",
            "message": {"text": sarif_message(said(gate))},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": file_uri(gate.model)}}}],
        }
        for gate in gates
    ]
    driver = {"name": "graphmem", "version": __version__, "rules": rules}
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json_text(document)


def gates_markdown(gates: Sequence[Gate]) -> str:
    """A table for a job summary or a comment."""
    rows = ["| | model | gate | figure | limit | where |", "|---|---|---|---:|---:|---|"]
    for gate in _sorted(gates):
        sign = "" if gate.is_proved else "≥ "
        mark = "✅" if gate.passes else "❌"
        cells = (markdown(gate.model), gate.name, sign + size(gate.figure), size(gate.limit), markdown(gate.where))
        rows.append(f"| {mark} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


GATE_FORMATS: dict[str, Callable[[Sequence[Gate]], str]] = {
    "text": gates_text,
    "json": gates_json,
    "github": gates_github,
    "junit": gates_junit,
    "sarif": gates_sarif,
    "markdown": gates_markdown,
}


def _sorted(gates: Sequence[Gate]) -> list[Gate]:
    return sorted(gates, key=lambda gate: gate.passes)
