"""Rewrite the table of models/README.md: nodes, parameters and inference peak of every network here, by graphmem."""

from __future__ import annotations

from pathlib import Path

import graphmem

HERE = Path(__file__).parent
BEGIN, END = "<!-- table -->\n", "<!-- /table -->"


def row(path: Path) -> str:
    """One line of the table: batch 1, and 128 tokens (the tiny ones 16) where the input is a sequence."""
    tokens = {"bert": 128, "gpt2": 128, "llama": 128, "tiny_gpt": 16, "tiny_lstm": 16}
    dims = {"sequence": tokens[path.stem]} if path.stem in tokens else {}
    analysis = graphmem.analyze(path, dims, batch=1)
    model, peak = analysis.model, analysis.inference.peak
    return f"| `{path.stem}` | {model.nodes:,} | {model.parameters:,} | {model.weight_bytes:,} | {peak:,} |\n"


def table() -> str:
    """The whole table in Markdown, by name."""
    heading = "| file | nodes | parameters | weight bytes | peak bytes of activations |\n|---|---:|---:|---:|---:|\n"
    return heading + "".join(row(path) for path in sorted(HERE.glob("*.onnx")))


def rewritten(text: str) -> str:
    """The README with the table between its two marks replaced."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + table() + END + tail


if __name__ == "__main__":
    readme = HERE / "README.md"
    readme.write_text(rewritten(readme.read_text()))
