"""Fit -> the table of what else fits: the useful options, what they cost, and the code of each."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from graphmem.ir.fit import Fit, Need, Option
from graphmem.ir.quoting import python_comment
from graphmem.report.terminal import plain_table
from graphmem.report.units import SIGNS, size

ROWS = 12  # options and devices shown
_RESULTS = {"same": "same", "rounding": "rounds", "other": "differs"}


def options_parts(fit: Fit, explain: bool) -> Iterable[Text | Table]:
    """Title, table and legend, and with `explain` the code; nothing where no option fits."""
    shown = _helpful(fit)[:ROWS]
    if shown:
        yield Text(_options_title(fit), style="bold")
        yield _options(fit, shown)
        yield _legend(len(fit.options) - len(shown))
        if explain:
            yield _code(shown)


def figure(need: Need) -> str:
    """What is compared, with the sign that says how to read it."""
    return SIGNS[need.exactness] + size(need.compared)


def _helpful(fit: Fit) -> list[Option]:
    """Options that give more room than the settings as they are, and these; none that another one beats."""
    largest = fit.largest.batch if fit.largest else 0
    by_batch = {need.batch: need.compared for need in (fit.need, *fit.curve)}

    def helps(option: Option) -> bool:
        if option.name == "as-is" or option.settings.get("accumulate", 1) > 1:
            return True
        if option.largest is not None and option.largest.batch > largest:
            return True
        is_exact = option.largest is not None and option.largest.refused == option.largest.batch + 1
        return not is_exact and option.need.compared < by_batch.get(option.need.batch, 0)

    useful = [option for option in fit.options if helps(option)]
    return [o for o in useful if o.name == "as-is" or not any(_beats(other, o) for other in useful)]


def _beats(one: Option, other: Option) -> bool:
    """True when `one` is as cheap, changes as little and gives as much room, and is better in one: of room by a tenth.

    What is learned with one optimizer says nothing about another, so an option that differs beats none, but for one
    that is the same but for the optimizer; 8-bit AdamW is always shown, as the nearest to AdamW.
    """
    splits = (one.settings.get("accumulate", 1) > 1) == (other.settings.get("accumulate", 1) > 1)
    comparable = one.outcome != "other" or (_step_of(one) == _step_of(other) and other.name != "adam8bit")
    mine, theirs = _merits(one), _merits(other)
    is_better = mine[:2] != theirs[:2] or theirs[2] - mine[2] > abs(theirs[2]) / 10
    return splits and comparable and is_better and all(a <= b for a, b in zip(mine, theirs, strict=True))


def _step_of(option: Option) -> dict[str, Any]:
    """The settings but for the optimizer."""
    return {name: value for name, value in option.settings.items() if name not in ("optimizer", "form")}


def _merits(option: Option) -> tuple[float, int, int]:
    """Cost, change of what is learned, and the room given; less is better."""
    room = -option.largest.batch if option.largest is not None else option.need.compared
    return round(option.cost, 2), list(_RESULTS).index(option.outcome), room


def _options_title(fit: Fit) -> str:
    if fit.device is None:
        return f"what a step of batch {fit.need.batch} needs otherwise, cheapest first"
    if fit.batch_asked is None:
        return "what makes room for more, cheapest first"
    return f"what fits at batch {fit.need.batch}, cheapest first"


def _options(fit: Fit, shown: Sequence[Option]) -> Table:
    by_batch = fit.device is not None and fit.batch_asked is None and fit.largest is not None
    room = "to spare" if fit.device else "smallest device"
    table = plain_table(
        *["cost", "result", *(["batch", "needs"] if by_batch else ["needs", room])], left=("result", room)
    )
    table.columns[0].justify = "right"
    table.add_column("what to do")
    for option in shown:
        cells = [f"{option.cost:.2f}", _RESULTS[option.outcome]]
        cells += [_batch(option)] if by_batch else []
        cells.append(figure(option.need))
        if not by_batch:
            cells.append(size(option.headroom) if fit.device else option.smallest_device)
        table.add_row(*cells, option.what)
    return table


def _batch(option: Option) -> str:
    if option.largest is None:
        return str(option.need.batch or "")
    if option.settings.get("accumulate", 1) > 1:
        return "any"
    is_exact = option.largest.refused == option.largest.batch + 1
    return f"{option.largest.batch}" if is_exact else f"{option.largest.batch}+"


def _legend(more: int) -> Text:
    lines = [f"and {more} more that gain less: --format json"] if more > 0 else []
    lines.append("cost: device time of a sample, estimated by bytes moved; 1.00 as it is (docs/fit.md)")
    lines.append("result: what is learned stays the same, rounds differently, or differs")
    return Text("\n".join(lines), style="dim")


def _code(shown: Sequence[Option]) -> Text:
    """The code of every option, its lines left as they are: they are to be pasted."""
    blocks = [
        "\n".join([*map(python_comment, textwrap.wrap(option.what, 76)), option.code])
        for option in shown
        if option.code
    ]
    return Text("\n\n".join(blocks), no_wrap=True, overflow="ignore")
