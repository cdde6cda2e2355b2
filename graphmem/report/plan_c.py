"""Plan -> a C header: offsets and sizes as constants, for firmware and runtimes."""

from __future__ import annotations

import re

from graphmem.ir.memory import Plan

PREFIX = "GRAPHMEM"


def plan_header(plan: Plan) -> str:
    """Two constants a buffer and three for the arena; names are made C identifiers, numbered where two would be one."""
    lines = [
        f"/* {len(plan.placements)} buffers by {plan.method}; {_certificate(plan)}. Written by graphmem plan. */",
        f"#ifndef {PREFIX}_PLAN_H",
        f"#define {PREFIX}_PLAN_H",
        "",
        f"#define {PREFIX}_ARENA_BYTES {plan.arena}ULL",
        f"#define {PREFIX}_ARENA_ALIGNMENT {plan.alignment}ULL",
        f"#define {PREFIX}_ARENA_LOWER_BOUND {plan.lower_bound}ULL",
        "",
    ]
    names = _identifiers([p.lifetime.buffer for p in plan.placements])
    for name, p in zip(names, plan.placements, strict=True):
        comment = re.sub(r"[^ -~]|\*/|/\*|\\|\?\?", "_", p.lifetime.buffer)
        lines.append(f"/* {comment}: steps [{p.lifetime.start}, {p.lifetime.stop}) */")
        lines.append(f"#define {PREFIX}_OFFSET_{name} {p.offset}ULL")
        lines.append(f"#define {PREFIX}_BYTES_{name} {p.lifetime.nbytes}ULL")
    return "\n".join([*lines, "", "#endif", ""])


def _certificate(plan: Plan) -> str:
    return "proved optimal" if plan.is_optimal else f"{plan.gap:.3%} above a proved bound"


def _identifiers(names: list[str]) -> list[str]:
    """Upper-case identifiers in the order given; a clash gets the first free number."""
    taken: set[str] = set()
    result = []
    for name in names:
        base = re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_").upper() or "BUFFER"
        unique, number = base, 1
        while unique in taken:
            number += 1
            unique = f"{base}_{number}"
        taken.add(unique)
        result.append(unique)
    return result
