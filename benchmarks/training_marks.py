"""Prints every prediction beside its measured step and whether its mark is right: `python training_marks.py DATA`.

DATA holds truth.json and NAME_FORM.onnx. A mark is right when the truth lies where it says: "exact" within 0.1 % (byte
means 256 bytes), "at least" below the truth, "at most" above it, "between" around it. --told gives the flags that
truth.json holds for each network, --json FILE keeps the rows, --before FILE shows what changed since.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from statistics import median
from typing import Any

from graphmem.cli import group

FORMS = ("train_dynraw", "train_dyn", "train_ts", "eval_dyn", "eval_dynraw", "eval_ts")
BYTE, NEAR = 256, 0.001  # what counts as the same byte figure, and as the same figure


def main() -> None:
    """One line per network, form and optimizer, then the counts of each form and optimizer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--forms", nargs="*", default=FORMS)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--told", action="store_true")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--before", type=Path, default=None)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    nets = json.loads((given.data / "truth.json").read_text())["nets"]
    jobs = [
        (given.data / f"{name}_{form}.onnx", name, form, optimizer, _flags(nets[name], form, optimizer, given.told))
        for name in given.only or nets
        for form in given.forms
        if (given.data / f"{name}_{form}.onnx").exists()
        for optimizer in ("sgd", "adamw")
        if optimizer in nets[name]
    ]
    with ProcessPoolExecutor(given.jobs) as pool:
        rows = list(pool.map(_row, jobs, [nets[job[1]][job[3]]["tensor_peak"] for job in jobs]))
    for row in rows:
        print(_line(row))
    print()
    for form in given.forms:
        for optimizer in ("sgd", "adamw"):
            _summary(form, optimizer, [row for row in rows if (row["form"], row["optimizer"]) == (form, optimizer)])
    if given.before:
        _changes(json.loads(given.before.read_text()), rows)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=0))


def _flags(net: dict[str, Any], form: str, optimizer: str, is_told: bool) -> list[str]:
    batch = net.get("exports", {}).get(form, {}).get("batch")
    told = net.get("flags", []) if is_told else []
    loss = net.get("loss") or net[optimizer].get("loss", "cross_entropy")
    return ["--loss", loss, *(["--batch", str(batch)] if batch else []), *told]


def _row(job: tuple[Path, str, str, str, list[str]], truth: int) -> dict[str, Any]:
    path, name, form, optimizer, flags = job
    row: dict[str, Any] = {"name": name, "form": form, "optimizer": optimizer, "truth": truth}
    out, errors = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(errors):
            group.main(
                ["train", str(path), "--optimizer", optimizer, *flags, "--format", "json"], standalone_mode=False
            )
        found = json.loads(out.getvalue())
    except (Exception, SystemExit) as error:
        return {**row, "mark": "failed", "why": f"{type(error).__name__} {error} {errors.getvalue()[-300:]}".strip()}
    peak = found["peak_bytes"]
    least, most = (found.get(f"peak_at_{end}_bytes") for end in ("least", "most"))
    row.update(peak=peak, mark=found["exactness"], least=least, most=most)
    row.update(issues=sorted({i["kind"] for i in found["issues"]}), phase=found["peak"]["phase"])
    return row


def _verdict(row: dict[str, Any]) -> str:
    """What is wrong with the row: "" nothing, "silent" exact and off, "side" a bound that the truth is beyond."""
    if row["mark"] == "failed":
        return "failed"
    peak, truth = row["peak"], row["truth"]
    slack = max(BYTE, NEAR * truth)
    if row["mark"] == "exact":
        return "silent" if abs(peak - truth) > slack else ""
    least = row["least"] if row["mark"] == "between" else peak if row["mark"] == "at least" else 0
    most = row["most"] if row["mark"] == "between" else peak if row["mark"] == "at most" else truth
    return "" if least <= truth + slack and truth <= most + slack else "side"


def _line(row: dict[str, Any]) -> str:
    where = f"{row['name']:<14}{row['form']:<13}{row['optimizer']:<6}"
    if row["mark"] == "failed":
        return f"{where} failed: {row['why'][-150:]}"
    off = row["peak"] - row["truth"]
    mark = row["mark"] if row["mark"] != "between" else f"between {row['least']:,} and {row['most']:,}"
    return (
        f"{where}{row['peak']:>12,}{row['truth']:>12,}{off:>+11,} {100 * off / row['truth']:>+8.3f} "
        f"{row['phase']:<9} {mark:<9} {_verdict(row):<7} {' '.join(row['issues'])}"
    )


def _summary(form: str, optimizer: str, rows: list[dict[str, Any]]) -> None:
    ran = [row for row in rows if row["mark"] != "failed"]
    if not rows:
        return
    off = [abs(row["peak"] - row["truth"]) for row in ran]
    share = [o / row["truth"] for o, row in zip(off, ran, strict=True)]
    verdicts = [_verdict(row) for row in rows]
    loud = sum(v == "silent" and s > 0.02 for v, s in zip(map(_verdict, ran), share, strict=True))
    widths = [(row["most"] - row["least"]) / row["peak"] for row in ran if row["mark"] == "between"]
    print(
        f"{form:<13}{optimizer:<6}{len(rows):>3} files: {_count(o <= BYTE for o in off)} byte-exact, "
        f"{_count(s <= NEAR for s in share)} within 0.1 %, {_count(s <= 0.02 for s in share)} within 2 %, "
        f"silent {verdicts.count('silent')} (above 2 %: {loud}), wrong side {verdicts.count('side')}, "
        f"failed {verdicts.count('failed')}" + (f", median width {100 * median(widths):.2f} %" if widths else "")
    )


def _count(found: Iterable[bool]) -> int:
    return sum(found)


def _changes(before: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Rows that are nearer, and those that are further off, than in an earlier run."""
    old = {(row["name"], row["form"], row["optimizer"]): row for row in before}
    for row in rows:
        then = old.get((row["name"], row["form"], row["optimizer"]))
        if then is None or (then["mark"], then.get("peak")) == (row["mark"], row.get("peak")):
            continue
        far = [abs(r["peak"] - r["truth"]) if "peak" in r else float("inf") for r in (then, row)]
        word = "nearer" if far[1] < far[0] else "FURTHER" if far[1] > far[0] else "marked"
        print(f"{word:<8}{_line(then)}\n{'':<6}->{_line(row)}")


if __name__ == "__main__":
    main()
