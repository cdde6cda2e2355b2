"""Overview -> text: what a sweep came to, for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from graphmem.ir.fleet import CHANGES, Overview, SweepRecord
from graphmem.ir.quoting import cut, lines_text
from graphmem.report.units import SIGNS, size

SHOWN = 5


def fleet_text(seen: Overview, written: str | None, width: int = 80) -> str:
    """The summary: rows, devices, greatest need, failures, and changes where there is a baseline."""
    lines = [f"{seen.models:,} models, {seen.rows:,} rows" + (f" -> {written}" if written else "")]
    proofs = [f"{count:,} {name}" for name, count in seen.exactness]
    lines.append("  " + ", ".join([*proofs, f"{seen.failed:,} failed"]))
    lines += _devices(seen)
    lines += _ranked("greatest need", seen.greatest, width, lambda row: (_peak(row), variant(row)))
    lines += _ranked(
        "misses its device by most", seen.tightest, width, lambda row: (size(-(row.headroom_bytes or 0)), setting(row))
    )
    if seen.failures:
        lines += ["", "failures"]
        lines += [cut(f"  {f.rows:>6,} rows  {f.error}", width) for f in seen.failures[:SHOWN]]
        lines += [f"  and {len(seen.failures) - SHOWN} more kinds"] if len(seen.failures) > SHOWN else []
    if seen.changes is not None:
        counts = Counter(change.what for change in seen.changes)
        told = ", ".join(f"{counts[what]:,} {what}" for what in CHANGES if counts[what]) or "nothing"
        lines += ["", f"changed since the baseline: {told}"]
        for change in [c for c in seen.changes if c.what != "new"][:SHOWN]:
            lines.append(
                _with_model(
                    f"  {change.what:14}  {_delta(change.delta):>12}", change.row.model, setting(change.row), width
                )
            )
    return lines_text(lines)


def _devices(seen: Overview) -> Iterable[str]:
    if not seen.devices:
        return
    wide = max(len("device"), *(len(share.device) for share in seen.devices))
    yield ""
    yield f"{'device':{wide}}  {'usable':>10}  {'fits':>8}  {'does not':>8}  {'unknown':>8}  {'failed':>8}"
    for share in seen.devices:
        yield (
            f"{share.device:{wide}}  {size(share.usable_bytes):>10}  {share.yes:>8,}  {share.no:>8,}"
            f"  {share.unknown:>8,}  {share.failed:>8,}"
        )


def _ranked(
    title: str, rows: Sequence[SweepRecord], width: int, told: Callable[[SweepRecord], tuple[str, str]]
) -> Iterable[str]:
    if not rows:
        return
    yield ""
    yield title
    for row in rows[:SHOWN]:
        figure, where = told(row)
        yield _with_model(f"  {figure:>13}", row.model, where, width)


def _with_model(start: str, model: str, told: str, width: int) -> str:
    """A line about a row: its setting whole, and as much of the end of its path as there is room for."""
    room = max(16, width - len(start) - len(told) - 4)
    name = model if len(model) <= room else "…" + model[1 - room :]
    return f"{start}  {name}  {told}"


def _peak(row: SweepRecord) -> str:
    return signed_size(row.peak_bytes or 0, row.exactness)


def signed_size(nbytes: int, exactness: str) -> str:
    """A size under the sign that says how exact it is; a results file of another version may hold any word there."""
    return {str(name): sign for name, sign in SIGNS.items()}.get(exactness, "") + size(nbytes)


def variant(row: SweepRecord) -> str:
    """A row's setting in words, without its model and device."""
    return row.variant + ("" if row.batch is None else f" batch {row.batch}")


def setting(row: SweepRecord) -> str:
    """The same with its device."""
    return f"{variant(row)} {row.device}"


def _delta(nbytes: int) -> str:
    return "" if not nbytes else ("+" if nbytes > 0 else "-") + size(abs(nbytes))
