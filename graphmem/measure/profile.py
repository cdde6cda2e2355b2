"""A profile that onnxruntime wrote -> what the arena's counters said after every node, run by run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def counters(path: Path) -> dict[str, Any]:
    """`peaks`: of each run the most bytes requested and not returned at the end of a node; `arena`: bytes held at last.

    Both are over what there was before the first node, which is not the runs' doing.
    """
    rows = [row["args"] for row in json.loads(path.read_text(encoding="utf-8")) if row.get("cat") == "Node"]
    rows = [row for row in rows if "mem_bytes_requested_in_use" in row]
    if not rows:
        return {"peaks": [], "arena": 0}
    first = rows[0]
    runs: list[list[int]] = []
    for row in rows:
        if row["node_index"] == first["node_index"]:
            runs.append([])
        runs[-1].append(int(row["mem_bytes_requested_in_use"]))
    before = int(first["mem_bytes_requested_in_use"]) - int(first["mem_requested_in_use_delta"])
    held_before = int(first["mem_arena_held"]) - int(first["mem_arena_held_delta"])
    return {"peaks": [max(run) - before for run in runs], "arena": int(rows[-1]["mem_arena_held"]) - held_before}
