"""The grid of a sweep: one row of AXES per thing that is varied -> the cells of every model.

stage "read"      needs the file walked again: one task per (model, value)
stage "figure"    needs another figure of the same graph
stage "compare"   holds a figure that is already there against something: costs nothing
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from typing import Any, TypeAlias

from graphmem.fitting.devices import accelerator, device
from graphmem.ir.device import Device
from graphmem.ir.errors import OptionError
from graphmem.ir.options import DEVICES, OPTIMIZERS, RUN_PRECISIONS
from graphmem.ir.options import PRECISIONS as STEP_PRECISIONS
from graphmem.memory.allocator import CUBLAS_WORKSPACE

Value: TypeAlias = "int | str | None"
Cell: TypeAlias = Mapping[str, Value]

MODES = ("inference", "training")
NONE = "none"
MOST = 2**31


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that is varied. `checked` turns what a caller wrote into a value or raises OptionError.

    `modes` are those that it says something about; elsewhere its column is empty and its values make no rows. `told` is
    the line about its option in `graphmem sweep --help`.
    """

    name: str
    default: Value
    checked: Callable[[Any], Value]
    told: str
    stage: str = "figure"
    modes: tuple[str, ...] = MODES
    choices: Mapping[str, Sequence[str]] | None = None  # by mode, where the modes differ

    def applies(self, mode: Value, value: Value) -> bool:
        """True when the mode can have that value."""
        return self.choices is None or mode not in self.modes or value in self.choices[str(mode)]


def one_of(what: str, choices: Iterable[str]) -> Callable[[Any], Value]:
    """A check against a closed list."""
    known = tuple(choices)

    def checked(value: Any) -> Value:
        if value not in known:
            raise OptionError(f"{what} '{value}' is not one of {', '.join(known)}")
        return str(value)

    return checked


def whole(what: str, value: Any) -> Value:
    """A whole number from 1."""
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdecimal() and 1 <= int(text) < MOST):
        raise OptionError(f"{what} '{value}' is not a whole number from 1")
    return int(text)


def batch(value: Any) -> Value:
    """A batch: a whole number from 1, or None for the one that the file says."""
    return None if value is None else whole("batch", value)


def checkpoint(value: Any) -> Value:
    """What `train` is to checkpoint, several joined by "+", or "none"; the model has the last word."""
    text = str(value).strip()
    if not text:
        raise OptionError("checkpoint '' says nothing; give none, blocks, every:K, sqrt or patterns of modules")
    return text


def checkpoints(value: Value) -> tuple[str, ...]:
    """The same as `train` takes it."""
    return () if value in (NONE, "") else tuple(part.strip() for part in str(value).split("+"))


def device_name(value: Any) -> Value:
    """The full name of a device of the catalogue, a size as written, or "cpu" or "cuda" to compare with nothing."""
    text = str(value).strip()
    if text in DEVICES:
        return text
    found = device(text)
    return text if found.kind == "size" else found.name


PRECISIONS = tuple(dict.fromkeys((*STEP_PRECISIONS, *RUN_PRECISIONS)))

AXES: tuple[Axis, ...] = (
    Axis("batch", None, batch, "Batches, such as 1,2,4,8. Default: the file's own, 1 where it is free.", "read"),
    Axis("mode", "inference", one_of("mode", MODES), "Inference, training or both."),
    Axis(
        "precision",
        "fp32",
        one_of("precision", PRECISIONS),
        f"Of training: {', '.join(STEP_PRECISIONS)}; of inference: {', '.join(RUN_PRECISIONS)}.",
        choices={"training": STEP_PRECISIONS, "inference": RUN_PRECISIONS},
    ),
    Axis("optimizer", "sgd", one_of("optimizer", OPTIMIZERS), "With --train, such as sgd,adamw.", modes=("training",)),
    Axis("accumulate", 1, partial(whole, "accumulate"), "Passes before the optimizer steps.", modes=("training",)),
    Axis("checkpoint", NONE, checkpoint, "As train's, several joined by +: none,blocks,a.*+b.*.", modes=("training",)),
    Axis(
        "device",
        "cpu",
        device_name,
        "Names of `graphmem devices` or sizes; cpu or cuda: nothing to compare.",
        "compare",
    ),
)


@dataclass(frozen=True, slots=True)
class Grid:
    """Values of every axis, in the order asked for and each once; made by `grid_of`."""

    values: Mapping[str, tuple[Value, ...]]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every setting of one model, each a value (or "") per axis, in the order of the rows."""
        seen: dict[tuple[Value, ...], Cell] = {}
        for combination in product(*(self.values[axis.name] for axis in AXES)):
            raw = dict(zip((axis.name for axis in AXES), combination, strict=True))
            if not all(axis.applies(raw["mode"], raw[axis.name]) for axis in AXES):
                continue
            cell = {axis.name: raw[axis.name] if raw["mode"] in axis.modes else "" for axis in AXES}
            seen.setdefault(tuple(cell.values()), cell)
        return tuple(seen.values())

    def by_batch(self) -> dict[Value, tuple[Cell, ...]]:
        """The cells that one walk of the file serves."""
        found: dict[Value, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(cell["batch"], []).append(cell)
        return {value: tuple(cells) for value, cells in found.items()}


def grid_of(given: Mapping[str, Any]) -> Grid:
    """{axis: value or values} -> Grid; an axis that is not given has its default. OptionError for what is no choice."""
    unknown = [name for name in given if name not in {axis.name for axis in AXES}]
    if unknown:
        raise OptionError(f"a grid has no axis '{unknown[0]}'; its axes are {', '.join(axis.name for axis in AXES)}")
    values = {}
    for axis in AXES:
        wanted = given.get(axis.name, axis.default)
        listed = wanted if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]
        if not listed:
            raise OptionError(f"the grid has no value for '{axis.name}'; leave it out for the default")
        values[axis.name] = tuple(dict.fromkeys(axis.checked(value) for value in listed))
    for axis in AXES:
        if values[axis.name] != (axis.default,) and not set(axis.modes) & set(values["mode"]):
            raise OptionError(f"'{axis.name}' goes with {' or '.join(axis.modes)}; ask for that mode")
        _check_modes(axis, values[axis.name], values["mode"])
    return Grid(values)


def _check_modes(axis: Axis, values: Sequence[Value], modes: Sequence[Value]) -> None:
    """OptionError for a value that none of the modes can have, or a mode that can have none of the values."""
    for mode in modes:
        lost = [value for value in values if not any(axis.applies(other, value) for other in modes)]
        lost = lost or ([] if any(axis.applies(mode, value) for value in values) else list(values))
        if lost:
            raise OptionError(f"{axis.name} '{lost[0]}' is none of {mode}; leave it out, or ask for another mode")


def figure_settings(cell: Cell) -> dict[str, Value]:
    """What the figure behind a cell depends on: the cell without its device, and what a training step runs on."""
    settings = {axis.name: cell[axis.name] for axis in AXES if axis.stage != "compare"}
    return {**settings, "on": simulated(cell["device"]), "cublas": cublas(cell)}


def simulated(name: Value) -> str:
    """What a training step is simulated on for a device of the grid, as in `graphmem fit`."""
    card = compared(name)
    return str(name) if card is None else accelerator(card).torch_device


def cublas(cell: Cell) -> Value:
    """Bytes of cuBLAS's workspace on the cell's device; None for that of most cards, which `train` takes too."""
    card = compared(cell["device"])
    nbytes = 0 if card is None else accelerator(card).cublas_workspace
    return None if nbytes in (0, CUBLAS_WORKSPACE[8]) else nbytes


@lru_cache(maxsize=1024)
def compared(name: Value) -> Device | None:
    """The device that figures are held against, or None for "cpu" and "cuda"."""
    return None if name in DEVICES else device(str(name))
