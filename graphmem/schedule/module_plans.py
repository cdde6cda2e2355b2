"""Program, Tape -> Wraps: which module calls to checkpoint, with which selective policies; judged by running the step.

    blocks, best saved bytes per recomputed FLOP first    b0   b1   b2   b3
    a plan: one level for the first j, a milder one for the rest    full full | keep keep
    levels: nothing; keep products of at least t FLOPs a byte (t rising); keep nothing (a plain checkpoint)

The candidates do not depend on the budget, so that a larger budget never costs more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from graphmem.autograd.machine import Machine
from graphmem.autograd.saved_hooks import KEEPABLE
from graphmem.autograd.segments import ModuleCall, blocks, module_calls
from graphmem.autograd.tape import Entry, Tape
from graphmem.autograd.trace import UNMADE
from graphmem.ir.errors import OptionError
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Program
from graphmem.ir.recompute import Wrap, WrapPlan
from graphmem.schedule.eager import training_trace

LEVELS = 3  # thresholds of FLOPs per byte at most
STEPS = 12  # numbers of blocks that are tried for a pair of levels
ROLES = 24  # kinds of sub-modules that are tried
OVERWRITTEN = ("relu", "relu6", "silu", "leaky_relu", "elu", "hardtanh", "hardswish", "hardsigmoid", "selu", "celu",
               "mish", "threshold", "dropout")  # fmt: skip


@dataclass
class Judge:
    """Runs the step with wraps; remembers what it found."""

    program: Program
    settings: TrainingOptions
    found: dict[tuple[Wrap, ...], WrapPlan] = field(default_factory=dict)

    def judged(self, wraps: Sequence[Wrap], strategy: str) -> WrapPlan:
        """Peak and recomputation of the step with these wraps, exact as PyTorch runs it."""
        key = tuple(sorted(wraps, key=lambda w: (w.scope, w.keep)))
        if key not in self.found:
            self.found[key] = replace(self.of_specs([w.spec for w in key], strategy), wraps=key)
        return self.found[key]

    def of_specs(self, specs: Sequence[str], strategy: str) -> WrapPlan:
        """The same of what `train --checkpoint` takes, without wraps."""
        tape = Tape()
        settings = replace(self.settings, checkpoint=tuple(specs))
        trace = training_trace(self.program, settings, tape)
        again = [e.label for e in tape.entries if e.kind == "again" and e.outputs]
        peak = peak_of(trace.machine, trace.first_step)
        return WrapPlan((), peak, tape.total("again"), strategy, tuple(dict.fromkeys(again)))


def peak_of(m: Machine, first: int) -> int:
    """The greatest sum of allocations that outlive their operators, from step `first` on."""
    change = np.zeros(len(m.steps) + 1, dtype=np.int64)
    for record in m.records:
        if record.kind not in ("workspace", UNMADE):
            change[max(record.start, first)] += record.nbytes
            change[record.stop if record.stop >= 0 else len(m.steps)] -= record.nbytes
    return int(np.cumsum(change).max(initial=0))


@dataclass(frozen=True, slots=True)
class _Block:
    """A block with its useful products: (name and number, bytes, FLOPs); `saved` bytes and `cost` of all of it."""

    call: ModuleCall
    products: tuple[tuple[str, int, int], ...]
    saved: int
    cost: int

    def wrap(self, least: float) -> Wrap:
        """Keeps what costs at least `least` FLOPs a byte."""
        keep = tuple(name for name, nbytes, cost in self.products if cost >= least * nbytes)
        return Wrap(self.call.scope, self.call.module, keep)


def candidates(program: Program, tape: Tape, machine: Machine, is_selective: bool) -> Iterator[tuple[str, list[Wrap]]]:
    """(strategy, wraps) in a fixed order; plain ones first."""
    calls = [c for c in module_calls(program) if not _is_torn(program, c)]
    order = [_block(c, tape, machine) for c in blocks(calls) if is_safe(program, c)]
    yield from _plain(calls, program, order)
    if is_selective:
        yield from _selective(order)


def practice(program: Program) -> Iterator[tuple[str, list[Wrap]]]:
    """(name, wraps) of what is done without a plan: every block (`gradient_checkpointing_enable`), every 2nd ..."""
    found = blocks(module_calls(program))
    wraps = [Wrap(c.scope, c.module) for c in found if is_safe(program, c) and not _is_torn(program, c)]
    for step in (1, 2, 3, 4):
        if len(wraps) >= step and wraps:
            yield f"every {step} blocks" if step > 1 else "every block", wraps[::step]


def _plain(calls: Sequence[ModuleCall], program: Program, found: Sequence[_Block]) -> Iterator[tuple[str, list[Wrap]]]:
    yield from practice(program)
    whole = [b.wrap(np.inf) for b in found]
    order = [b.wrap(np.inf) for b in sorted(found, key=lambda b: (-b.saved / max(1, b.cost), b.call.start))]
    for count in _counts(len(order)):
        yield f"{count} blocks", order[:count]
    for count in _counts(len(whole)):
        yield f"first {count} blocks", whole[:count]
    for role, members in _roles(calls, program):
        yield f"every {role}", members
    if not found:
        yield from _growing(calls, program)


def _growing(calls: Sequence[ModuleCall], program: Program) -> Iterator[tuple[str, list[Wrap]]]:
    """Where nothing repeats: single modules of more than one operation, and the first of those that follow another."""
    single = [c for c in calls if c.stop - c.start > 1 and is_safe(program, c)]
    for call in single[:ROLES]:
        yield f"module {call.scope}", [Wrap(call.scope, call.module, ())]
    for depth in sorted({c.depth for c in single}):
        row = [Wrap(c.scope, c.module, ()) for c in single if c.depth == depth]
        for count in _counts(len(row)):
            yield f"first {count} modules", row[:count]


def _roles(calls: Sequence[ModuleCall], program: Program) -> list[tuple[str, list[Wrap]]]:
    """Modules that are named alike but for numbers, of more than one operation: "h.#.mlp"."""
    alike: dict[str, dict[str, Wrap]] = {}
    for call in calls:
        if call.stop - call.start > 1 and is_safe(program, call):
            role = re.sub(r"\d+", "#", call.scope)
            alike.setdefault(role, {})[call.scope] = Wrap(call.scope, call.module, ())
    rows = [(role, list(members.values())) for role, members in alike.items() if len(members) > 1]
    return [row for row in rows if _are_apart(row[1])][:ROLES]


def _are_apart(wraps: Sequence[Wrap]) -> bool:
    scopes = {w.scope for w in wraps}
    return not any(s.rsplit(".", k)[0] in scopes for s in scopes for k in range(1, s.count(".") + 1))


def _selective(found: Sequence[_Block]) -> Iterator[tuple[str, list[Wrap]]]:
    ratios = sorted({cost / nbytes for b in found for _, nbytes, cost in b.products if nbytes})
    picked = sorted({ratios[len(ratios) * i // LEVELS] for i in range(LEVELS)}) if ratios else []
    levels = [0.0, *(p for p in picked if p > ratios[0]), np.inf] if ratios else []
    order = sorted(found, key=lambda b: (-b.saved / max(1, b.cost), b.call.start))
    for rank, level in enumerate(levels):
        title = "a selective policy" if level < np.inf else "every block"
        yield title, [b.wrap(level) for b in order]
        for count in _counts(len(order)):
            milder = [b.wrap(levels[rank - 1]) for b in order[count:]] if rank else []
            yield f"selective policies on {count}", [*(b.wrap(level) for b in order[:count]), *milder]


def _counts(most: int) -> list[int]:
    return sorted({max(1, round(most * i / STEPS)) for i in range(1, STEPS + 1)}) if most else []


def _block(call: ModuleCall, tape: Tape, machine: Machine) -> _Block:
    """What the block saves, what it costs, and which of its products are needed to compute it again."""
    inside = [e for e in tape.entries if call.start <= e.position < call.stop]
    forward = [e for e in inside if e.kind == "forward"]
    own = {r for e in forward for r in e.writes}
    saved = {r for e in inside if e.kind == "backward" for r in e.reads} & own
    nbytes = {r: machine.records[r].nbytes for r in own}
    products = _products(forward, _needed(forward, saved), nbytes)
    return _Block(call, products, sum(nbytes[r] for r in saved), sum(e.cost for e in forward))


def _needed(forward: Sequence[Entry], saved: set[int]) -> set[int]:
    needed = set(saved)
    for entry in reversed(forward):
        if needed.intersection(entry.writes) or (entry.is_in_place and needed.intersection(entry.reads)):
            needed.update(entry.reads)
    return needed


def _products(forward: Sequence[Entry], needed: set[int], nbytes: dict[int, int]) -> tuple[tuple[str, int, int], ...]:
    seen: dict[str, int] = {}
    found = []
    for entry in forward:
        name = KEEPABLE.get(entry.name)
        if name is None:
            continue
        number = seen[name] = seen.get(name, -1) + 1
        if needed.intersection(entry.outputs):
            found.append((f"{name}#{number}", sum(nbytes[r] for r in entry.outputs), entry.cost))
    return tuple(found)


def _is_torn(program: Program, call: ModuleCall) -> bool:
    from graphmem.autograd.segments import segments_of

    try:
        segments_of(program, [call.scope])
    except OptionError:
        return True
    return False


def is_safe(program: Program, call: ModuleCall) -> bool:
    """False where an activation may write over what the module was given: PyTorch refuses to compute it again then."""
    inside = program.calls[call.start : call.stop]
    made = {name for c in inside for name in c.outputs}
    given = {name for c in inside for name in c.reads} - made - {g.name for g in program.given}
    around: Callable[[str], bool] = lambda target: target.split(".")[1].rstrip("_") in OVERWRITTEN  # noqa: E731
    return not any(around(c.target) and given.intersection(c.reads) for c in program.calls)
