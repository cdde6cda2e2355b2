"""A forward run in half precision -> the same with weights of linear layers in int8 or int4, as torchao quantizes them.

Weight-only: `torchao.quantization.quantize_` replaces the weights of `nn.Linear`, whose kernels convert as they read.
int8 has one scale per output row of two bytes, fp8 one of four, int4 a scale and a zero point of two bytes each per row
and group of 128 inputs (Int8WeightOnlyConfig, Float8WeightOnlyConfig, Int4WeightOnlyConfig(group_size=128)). A weight
that anything else reads too (tied embeddings) is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphmem.autograd.program import Program
from graphmem.schedule.training import TrainingTrace


@dataclass(frozen=True, slots=True)
class Form:
    """Bits of a weight, bytes of a group's scale and zero point, inputs of a group (0: the whole row)."""

    computed: str  # precision of everything else
    bits: int
    scale: int
    group: int


FORMS = {"int8": Form("fp16", 8, 2, 0), "fp8": Form("bf16", 8, 4, 0), "int4": Form("bf16", 4, 4, 128)}


def linear_weights(program: Program) -> frozenset[str]:
    """Names of the matrices that linear layers read and nothing else does."""
    matrices = {g.name for g in program.of("parameter") if len(g.type.shape) == 2}
    linear: set[str] = set()
    others: set[str] = set()
    for call in program.calls:
        used = linear if call.target.startswith("aten.linear") else others
        used.update(name for name in call.reads if name in matrices)
    return frozenset(linear - others)


def quantize(trace: TrainingTrace, program: Program, form: Form) -> None:
    """Shrink the weights in the trace, which holds them from its start to its end: nothing else changes."""
    names = linear_weights(program)
    for record in trace.machine.records:
        if record.kind == "parameter" and record.name in names and record.start < trace.first_step:
            rows, inputs = record.shape
            groups = -(-inputs // form.group) if form.group else 1
            record.nbytes = rows * (-(-inputs * form.bits // 8) + groups * form.scale)
