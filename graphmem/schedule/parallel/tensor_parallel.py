"""Program -> one step of tensor parallelism: blocks of linear layers cut over ranks, all else whole on every rank.

As Megatron-LM has it (mpu/layers.py): by columns what opens a block, by rows what ends it. Outputs of row layers are
all-reduced in place, as are gradients of what column layers read (once for each tensor that they read), so neither
takes memory; a row layer adds its bias after the all-reduce, which makes one more tensor.
"""

from __future__ import annotations

from graphmem.autograd.machine import Machine
from graphmem.autograd.strides import Shape
from graphmem.ir.errors import OptionError
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Program
from graphmem.ir.ranks import Parallel, Ranked
from graphmem.schedule.parallel.process import (
    Cohort,
    Watched,
    backward_pass,
    collective,
    figures,
    forward_pass,
    issues_of,
    optimized,
    trained,
)
from graphmem.schedule.parallel.tensor_cuts import Block, blocks, local
from graphmem.schedule.step import given_values, target_value


def tensor_parallel(program: Program, settings: TrainingOptions, parallel: Parallel) -> Ranked:
    """Peaks of all ranks, which are alike. Raises OptionError when no block can be cut."""
    shapes = _shapes(program, settings)
    found, reason = blocks(program, shapes, parallel.ranks)
    if not found:
        raise OptionError(f"tensor parallelism over {parallel.ranks} ranks finds no block to cut: {reason}")
    whole = sum(given.type.nbytes for given in program.of("parameter"))
    part = local(program, found, shapes, parallel.ranks)
    kept = sum(given.type.nbytes for given in part.of("parameter"))
    m = Machine(device=settings.device)
    values = given_values(m, part, settings)
    parameters = trained(values, part)
    target = target_value(m, part, settings)
    first = len(m.steps)
    forward = Watched(m, part, values)
    sizes: dict[str, int] = {}
    grads: dict[str, int] = {}

    def after(position: int) -> None:
        for name in (*part.calls[position].outputs, *part.calls[position].reads):
            tensor = forward.values.get(name)
            if tensor is not None:
                sizes[name] = tensor.nbytes
                grads[name] = tensor.nbytes if tensor.requires_grad else 0

    forward.after = after
    loss = forward_pass(m, forward, settings, target)
    backward_pass(m, loss, {}, lambda _: None)
    cohorts = [Cohort(list(range(parallel.ranks)), parameters)]
    optimized(m, settings, cohorts)
    ends = [program.calls[row.position].outputs[0] for block in found for row in block.rows]
    starts = [name for block in found for name in dict.fromkeys(column.x for column in block.columns)]
    sent = [
        *collective("all-reduce", "outputs of row layers", (sizes[n] for n in ends), parallel.ranks),
        *collective("all-reduce", "gradients of what column layers read", (grads[n] for n in starts), parallel.ranks),
    ]
    notes = _notes(program, found, whole, kept)
    return Ranked(parallel, settings, figures(m, first, cohorts), tuple(sent), notes, issues_of(part, forward))


def _shapes(program: Program, settings: TrainingOptions) -> dict[str, Shape]:
    """Of all values, whole."""
    m = Machine(device=settings.device)
    values = given_values(m, program, settings)
    forward = Watched(m, program, values)
    found = {name: tensor.shape for name, tensor in values.items()}

    def after(position: int) -> None:
        call = program.calls[position]
        for name in (*call.outputs, *call.reads):
            tensor = forward.values.get(name)
            if tensor is not None:
                found[name] = tensor.shape

    forward.after = after
    forward.run()
    return found


def _notes(program: Program, found: list[Block], whole: int, kept: int) -> tuple[str, ...]:
    columns, rows = (sum(len(layers) for layers in (getattr(b, kind) for b in found)) for kind in ("columns", "rows"))
    places = [program.calls[b.columns[0].position].origin.scope or b.columns[0].weight for b in found]
    where = f"{places[0]} ... {places[-1]}" if len(places) > 1 else places[0]
    return (
        f"{len(found)} blocks ({where}): {columns} layers cut by columns, {rows} by rows",
        f"a rank holds {kept:,} of {whole:,} bytes of parameters; what is in no block is whole on every rank",
    )
