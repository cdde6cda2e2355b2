"""Ranked -> the terminal summary (every rank's peak, what it is made of, what is sent) and JSON (graphmem.ranks/1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from graphmem.ir.quoting import json_text, name_shown, sentence, shown
from graphmem.ir.ranks import SHARED, Rank, Ranked
from graphmem.report.envelope import others_said, schema_name, standing, step_document
from graphmem.report.notes import Note, issue_notes, note_lines
from graphmem.report.terminal import printed
from graphmem.report.units import SIGNS, size

_FORMULAS = {
    "all-reduce": "2(W-1)n", "reduce-scatter": "(W-1)n", "all-gather": "(W-1)n", "broadcast": "(W-1)n",
    "point-to-point": "n",
}  # fmt: skip
RANKS_SHOWN = 16
PLACE = 24  # characters of an operator's name: a figure is never cut for it


def ranks_text(ranked: Ranked, width: int = 80, color: bool = False) -> str:
    """The summary, `width` columns wide."""
    return printed(_parts(ranked), width, color)


def _parts(ranked: Ranked) -> Iterable[RenderableType]:
    for part in (_headline(ranked), _ranks(ranked), _breakdown(ranked), _sent(ranked)):
        yield part
        yield ""
    yield from _notes(ranked)


def _headline(ranked: Ranked) -> Text:
    settings, sign = ranked.settings, SIGNS[ranked.exactness]
    line = Text("graphmem ", style="dim").append(name_shown(ranked.name), style="bold not dim")
    asked = [settings.loss, f"{settings.optimizer} ({settings.optimizer_form})", settings.device]
    line.append("   " + " · ".join(map(name_shown, [str(ranked.parallel), *asked, *others_said(settings)])))
    top = next(rank for rank in ranked.ranks if rank.peak == ranked.peak)
    line.append("\n\npeak  ").append(sign + size(ranked.peak), style="bold magenta")
    line.append(f"  ({ranked.peak:,} bytes) on rank {top.rank}", style="dim")
    line.append(f"\nalone {sign}{size(ranked.single_peak)} on one device")
    return line.append(f"\nsent  {size(ranked.sent)} a step, all ranks together")


def _ranks(ranked: Ranked) -> Table:
    """Neighbours that need the same share a line; of very many lines those with the largest peaks."""
    table = _table("rank", "peak", "forward", "backward", "optimizer", "at")
    groups = sorted(_alike(ranked.ranks), key=lambda group: (-group[0].peak, group[0].rank))[:RANKS_SHOWN]
    for group in sorted(groups, key=lambda group: group[0].rank):
        rank = group[0]
        label = str(rank.rank) if len(group) == 1 else f"{rank.rank}-{group[-1].rank}"
        phases = [size(rank.phase_peaks[phase]) for phase in ("forward", "backward", "optimizer")]
        operator = rank.peak_operator.removeprefix("aten::") or "an allocation"
        table.add_row(label, SIGNS[ranked.exactness] + size(rank.peak), *phases, shown(operator)[:PLACE])
    return table


def _alike(ranks: tuple[Rank, ...]) -> list[list[Rank]]:
    groups: list[list[Rank]] = []
    for rank in ranks:
        last = groups[-1][-1] if groups else None
        if last is not None and (last.peak, last.phase_peaks, last.holds) == (rank.peak, rank.phase_peaks, rank.holds):
            groups[-1].append(rank)
        else:
            groups.append([rank])
    return groups


def _breakdown(ranked: Ranked) -> Table:
    top = next(rank for rank in ranked.ranks if rank.peak == ranked.peak)
    table = _table(f"at the peak of rank {top.rank}", "size", "%")
    for name in SHARED:
        nbytes = top.breakdown[name]
        table.add_row(name.replace("_", " "), size(nbytes), f"{100 * nbytes / top.peak:.0f}" if top.peak else "")
    return table


def _sent(ranked: Ranked) -> Table | Text:
    if not ranked.communication:
        return Text("nothing is sent: one rank")
    table = _table("communication", "calls", "n", "sent", "formula")
    for row in ranked.communication:
        table.add_row(row.operation, str(row.calls), size(row.payload), size(row.sent), _FORMULAS[row.operation])
    return table


def _table(first: str, *others: str) -> Table:
    """Figures keep their width, the last column of words is cut where the terminal ends."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    table.add_column(first, no_wrap=True, min_width=len(first))
    for name in others:
        is_text = name in ("at", "formula")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=True, min_width=8 if is_text else None)
    return table


def _notes(ranked: Ranked) -> list[Text]:
    lines = [Text(sentence(f"{row.operation}: {row.what}"), style="dim") for row in ranked.communication]
    held = [group[0] for group in _alike(ranked.ranks) if group[0].holds]
    lines += [Text(sentence(f"rank {rank.rank}: {rank.holds}"), style="dim") for rank in held[:RANKS_SHOWN]]
    if len(held) > RANKS_SHOWN:
        lines.append(Text(f"and {len(held) - RANKS_SHOWN} more, in the JSON document", style="dim"))
    told = [*(Note("note", note) for note in ranked.notes), *issue_notes(ranked.issues)]
    return [*lines, *note_lines(told, ranked.exactness)]


def ranks_json(ranked: Ranked) -> str:
    """The whole answer."""
    return json_text(ranks_document(ranked))


def ranks_document(ranked: Ranked) -> dict[str, Any]:
    """The same as plain values."""
    way = ranked.parallel
    return {
        "schema": schema_name("ranks"),
        "model": {"name": ranked.name},
        "parallel": {
            "kind": way.kind,
            "ranks": way.ranks,
            "micro_batches": way.micro_batches,
            "gradient_as_bucket_view": way.bucket_view,
        },
        "settings": step_document(ranked.settings),
        **standing(ranked.exactness, ranked.issues),
        "notes": list(ranked.notes),
        "peak_bytes": ranked.peak,
        "single_device_peak_bytes": ranked.single_peak,
        "ranks": [
            {
                "rank": rank.rank,
                "holds": rank.holds,
                "peak_bytes": rank.peak,
                "peak": {"phase": rank.peak_phase, "operator": rank.peak_operator},
                "phase_peak_bytes": dict(rank.phase_peaks),
                "breakdown_bytes": dict(rank.breakdown),
                "baseline_bytes": rank.baseline,
            }
            for rank in ranked.ranks
        ],
        "communication_bytes": ranked.sent,
        "communication": [
            {
                "operation": row.operation,
                "what": row.what,
                "calls": row.calls,
                "payload_bytes": row.payload,
                "sent_bytes": row.sent,
            }
            for row in ranked.communication
        ],
    }
