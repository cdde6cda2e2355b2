"""Records, an earlier sweep's records -> Overview: what fits where, the worst offenders, what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from graphmem.ir.fleet import CHANGES, DeviceShare, Failure, FitLine, Overview, RowChange, SweepRecord

OFFENDERS = 12
_PROOF = ("exact", "at most", "at least", "")


def overview(rows: Sequence[SweepRecord], baseline: Sequence[SweepRecord] | None = None) -> Overview:
    """The fleet at a glance, and against `baseline` what changed."""
    devices = _devices(rows)
    return Overview(
        models=len({row.model for row in rows}),
        rows=len(rows),
        failed=sum(bool(row.error) for row in rows),
        exactness=tuple(Counter(row.exactness for row in rows if not row.error).items()),
        devices=devices,
        lines=tuple(_lines(rows, [share.device for share in devices])),
        greatest=_worst_per_model(rows, lambda row: row.peak_bytes),
        tightest=_worst_per_model(rows, _overrun),
        failures=tuple(_failures(rows)),
        changes=None if baseline is None else changes(rows, baseline),
    )


def _devices(rows: Iterable[SweepRecord]) -> tuple[DeviceShare, ...]:
    usable: dict[str, int] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row.usable_bytes is not None:
            usable.setdefault(row.device, row.usable_bytes)
            counts[row.device, row.fits] += 1
    kinds = ("yes", "no", "unknown", "")
    return tuple(DeviceShare(name, size, *(counts[name, kind] for kind in kinds)) for name, size in usable.items())


def _lines(rows: Iterable[SweepRecord], devices: Sequence[str]) -> Iterable[FitLine]:
    grouped: dict[tuple[str, ...], list[SweepRecord]] = {}
    for row in rows:
        variant = row.variant
        grouped.setdefault((row.model, variant), []).append(row)
    for (model, variant), group in grouped.items():
        by_device = [[row for row in group if row.device == name] for name in devices]
        yield FitLine(
            model,
            variant,
            max((row.peak_bytes for row in group if row.peak_bytes is not None), default=None),
            tuple(max((row.batch or 0 for row in on if row.fits == "yes"), default=None) for on in by_device),
            tuple(_split(on) for on in by_device),
        )


def _split(rows: Iterable[SweepRecord]) -> tuple[int, int, int]:
    counts = Counter(row.fits for row in rows)
    return counts["yes"], counts["no"], counts["unknown"] + counts[""]


def _overrun(row: SweepRecord) -> int | None:
    """Bytes by which a row misses its device, or None where it does not."""
    return -row.headroom_bytes if row.headroom_bytes is not None and row.headroom_bytes < 0 else None


def _worst_per_model(
    rows: Iterable[SweepRecord], badness: Callable[[SweepRecord], int | None]
) -> tuple[SweepRecord, ...]:
    """The worst row of each of the worst models, the worst first."""
    worst: dict[str, tuple[int, SweepRecord]] = {}
    for row in rows:
        value = badness(row)
        if value is not None and (row.model not in worst or value > worst[row.model][0]):
            worst[row.model] = value, row
    ranked = sorted(worst.values(), key=lambda pair: (-pair[0], pair[1].model))
    return tuple(row for _, row in ranked[:OFFENDERS])


def _failures(rows: Iterable[SweepRecord]) -> Iterable[Failure]:
    grouped: dict[str, list[str]] = {}
    for row in rows:
        if row.error:
            grouped.setdefault(row.error, []).append(row.model)
    for error, models in sorted(grouped.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        yield Failure(error, len(models), tuple(dict.fromkeys(models)))


def changes(rows: Iterable[SweepRecord], baseline: Iterable[SweepRecord]) -> tuple[RowChange, ...]:
    """Rows that differ in what came out, joined on model and setting, the worst kind first, then by bytes."""
    then = {row.setting: row for row in baseline}
    now = {row.setting: row for row in rows}
    found = [RowChange(_became(row, then.get(name)), row, then.get(name)) for name, row in now.items()]
    found += [RowChange("gone", None, row) for name, row in then.items() if name not in now]
    order = list(CHANGES)
    return tuple(
        sorted((c for c in found if c.what), key=lambda c: (order.index(c.what), -abs(c.delta), c.row.setting))
    )


def _became(now: SweepRecord, then: SweepRecord | None) -> str:
    """A key of CHANGES, or "" where nothing did."""
    if then is None:
        return "new"
    if bool(now.error) != bool(then.error):
        return "fails" if now.error else "mended"
    if now.peak_bytes is None or then.peak_bytes is None:
        return ""
    if (now.fits == "yes") != (then.fits == "yes"):
        return "now fits" if now.fits == "yes" else "no longer fits"
    if now.peak_bytes != then.peak_bytes:
        return "grew" if now.peak_bytes > then.peak_bytes else "shrank"
    proofs = _PROOF.index(now.exactness), _PROOF.index(then.exactness)
    return "" if proofs[0] == proofs[1] else "proves less" if proofs[0] > proofs[1] else "proves more"
