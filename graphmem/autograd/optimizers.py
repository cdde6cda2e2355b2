"""Optimizers as programs: the state that they keep and the tensors that one step makes.

OPTIMIZERS: name -> states (each of the parameter's shape), bytes of counters per parameter, and what the single-tensor
loop makes per parameter: (operator, name). A named result is a Python local: it lives until the same name is bound
again, for the next parameter, or until ("", name). An unnamed one dies after the next operator. `foreach` is the number
of parameter-sized lists alive at once in the multi-tensor form; fused forms make nothing.

Sources: torch/optim/*.py of torch 2.13; lion-pytorch; bitsandbytes (blocks of 256, small tensors kept in float32).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from graphmem.autograd import ops
from graphmem.autograd import strides as st
from graphmem.autograd.machine import Machine
from graphmem.autograd.tensor import Tensor, itemsize

MUON_STEPS = 5
FORMS = ("single", "foreach", "fused")


@dataclass(frozen=True, slots=True)
class Optimizer:
    """One row of the table below."""

    states: tuple[str, ...] = ()
    counters: int = 0
    single: tuple[tuple[str, str], ...] = ()
    foreach: int = 0
    has_fused: bool = False
    with_decay: tuple[tuple[str, str], ...] = ()
    is_decay_dropped: bool = (
        False  # the multi-tensor form deletes the list that weight decay makes before it makes more
    )


_DECAYED = (("add", "grad"),)
_DENOMINATOR = (("sqrt", ""), ("div", "denom"))
_ADAM = Optimizer(("exp_avg", "exp_avg_sq"), 4, _DENOMINATOR, 1, True, _DECAYED, True)
_ADAMW = Optimizer(("exp_avg", "exp_avg_sq"), 4, _DENOMINATOR, 1, True)

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer(has_fused=True, with_decay=_DECAYED),
    "momentum": Optimizer(("momentum_buffer",), has_fused=True, with_decay=_DECAYED),
    "nesterov": Optimizer(("momentum_buffer",), 0, (("add", "grad"),), 0, True, _DECAYED),
    "adam": _ADAM,
    "adamw": _ADAMW,
    "amsgrad": Optimizer(("exp_avg", "exp_avg_sq", "max_exp_avg_sq"), 4, _DENOMINATOR, 1, True),
    "nadam": Optimizer(("exp_avg", "exp_avg_sq"), 8, (("div", ""), ("sqrt", "denom")), 1, False, _DECAYED),
    "radam": Optimizer(
        ("exp_avg", "exp_avg_sq"), 4,
        (("div", "corrected"), ("mul", "scaled"), ("sqrt", "root"), ("reciprocal", ""), ("mul", "rate"), ("", "root"),
         ("mul", "product"), ("", "scaled"), ("", "rate"), ("mul", ""), ("", "product")),
        1, False, _DECAYED, True,
    ),
    "rmsprop": Optimizer(("square_avg",), 4, (("sqrt", "avg"),), 1, False, _DECAYED),
    "adagrad": Optimizer(("sum",), 4, (("sqrt", "std"),), 2, True, _DECAYED, True),
    "adafactor": Optimizer((), 4),
    "lion": Optimizer(("exp_avg",), 0, (("clone", ""), ("add", "update")), 1),
    "adam8bit": Optimizer((), 0, (), 0, True),
    "muon": Optimizer((), 0, (), 0),
}  # fmt: skip


@dataclass(slots=True)
class OptimizerStep:
    """The optimizer of one run: state tensors are made before the step, `run` is the step."""

    machine: Machine
    name: str
    parameters: Sequence[Tensor]
    form: str = "single"
    decay: bool = False
    state: dict[str, list[Tensor]] = field(default_factory=dict)  # by parameter

    @property
    def row(self) -> Optimizer:
        """The optimizer's row of the table."""
        return OPTIMIZERS[self.name]

    def make_state(self) -> list[Tensor]:
        """The state after the first step, each tensor with a handle."""
        made: list[Tensor] = []
        m = self.machine
        for p in self.parameters:
            for label, shape, dtype in self._state_of(p):
                strides = st.like(*p.layout) if shape == p.shape else None
                about = {"phase": "before", "kind": "optimizer_state", "label": f"{p.name}.{label}"}
                with m.within(**about), m.operator("state"), m.scope():
                    made.append(m.hold(m.empty(shape, dtype, strides)))
                self.state.setdefault(p.name, []).append(made[-1])
        return made

    def forget_untrained(self) -> None:
        """Take the state of parameters back that no gradient has reached: torch makes none for these."""
        for p in self.parameters:
            for tensor in self.state.get(p.name, ()) if p.grad is None else ():
                self.machine.never(tensor)

    def state_nbytes(self) -> int:
        """Bytes of the whole state."""
        return sum(prod(shape) * itemsize(dtype) for p in self.parameters for _, shape, dtype in self._state_of(p))

    def _state_of(self, p: Tensor) -> list[tuple[str, st.Shape, str]]:
        if self.name == "adam8bit":
            return _adam8bit_state(p)
        if self.name == "muon" and len(p.shape) != 2:
            return [("exp_avg", p.shape, p.dtype), ("exp_avg_sq", p.shape, p.dtype), ("step", (), "float32")]
        rows = [(label, p.shape, p.dtype) for label in self.row.states]
        if self.name == "muon":
            rows.append(("momentum_buffer", p.shape, p.dtype))
        if self.name == "adafactor":
            rows += _adafactor_state(p)
        rows += [(f"step{i or ''}", (), "float32") for i in range(self.row.counters // 4)]
        return rows

    def run(self) -> None:
        """One step over all parameters that have a gradient."""
        with self.machine.within(phase="optimizer", kind="temporary", label="optimizer temporary"):
            self._run([p for p in self.parameters if p.grad is not None])

    def _run(self, with_grads: Sequence[Tensor]) -> None:
        m = self.machine
        if self.form == "fused":
            ops.in_place(m, f"aten::_fused_{self.name}_")
        elif self.form == "foreach" and self.name == "adafactor":
            self._run_adafactor(with_grads)
        elif self.form == "foreach":
            self._run_lists(with_grads)
        else:
            self._run_loop(with_grads)

    def _run_lists(self, parameters: Sequence[Tensor]) -> None:
        m = self.machine
        decayed = len(self.row.with_decay) if self.decay else 0
        lists = max(self.row.foreach, decayed) if self.row.is_decay_dropped else self.row.foreach + decayed
        with m.scope():
            ops.in_place(m, "aten::_foreach_mul_")
            for _ in range(lists):
                with m.operator("aten::_foreach_sqrt"):
                    for p in parameters:
                        m.empty(p.shape, p.dtype, st.like(*p.layout))

    def _run_adafactor(self, parameters: Sequence[Tensor]) -> None:
        """Matrices and vectors, whichever comes first; the updates of the first wait for those of the second."""
        m = self.machine
        kinds = dict.fromkeys(len(p.shape) > 1 for p in parameters)
        before: list[Tensor] = []
        with m.scope():
            for is_matrix in kinds:
                group = [p for p in parameters if (len(p.shape) > 1) is is_matrix]
                for made in (_row_means, _column_means) if is_matrix else (_whole,):
                    m.drop(*[ops.full(m, "aten::norm", made(p), p.dtype) for p in group])
                updates = [ops.full(m, "aten::matmul" if is_matrix else "aten::clone", p.shape, p.dtype) for p in group]
                if is_matrix:
                    m.drop(*[ops.full(m, "aten::mean", (*p.shape[:-2], 1, 1), p.dtype) for p in group])
                m.drop(*before)
                before = updates

    def _run_loop(self, parameters: Sequence[Tensor]) -> None:
        m = self.machine
        bound: dict[str, Tensor] = {}
        with m.scope():
            for p in parameters:
                ops.in_place(m, "aten::mul_")
                self._run_one(p, bound)
                ops.in_place(m, "aten::addcdiv_")

    def _run_muon(self, p: Tensor, bound: dict[str, Tensor]) -> None:
        """Nesterov's update is orthogonalised in bfloat16 by five steps of Newton and Schulz (torch/optim/_muon.py)."""
        m = self.machine
        first = ops.full(m, "aten::lerp", p.shape, p.dtype)
        m.drop(*(bound.pop(name) for name in list(bound)))
        short, long = sorted(p.shape)
        with m.scope() as kept:
            x = first if p.dtype == "bfloat16" else ops.full(m, "aten::to", p.shape, "bfloat16")
            gram: list[Tensor] = []
            for _ in range(MUON_STEPS):
                for i, name in enumerate(("aten::matmul", "aten::addmm")):
                    made = ops.full(m, name, (short, short), "bfloat16")
                    m.drop(*gram[i : i + 1])
                    gram[i : i + 1] = [made]
                better = ops.full(m, "aten::addmm", (short, long), "bfloat16")
                m.drop(x)
                x = better
            kept.append(x)
        m.drop(first)
        bound["update"] = x

    def _program(self, p: Tensor) -> tuple[tuple[str, str], ...]:
        """The row's program; by rank for those that treat matrices in a way of their own."""
        if self.name == "muon":
            return _DENOMINATOR
        if self.name == "adafactor":
            return _ADAFACTOR if len(p.shape) > 1 else _ADAFACTOR_VECTOR
        return (*(self.row.with_decay if self.decay else ()), *self.row.single)

    def _run_one(self, p: Tensor, bound: dict[str, Tensor]) -> None:
        if self.name == "muon" and len(p.shape) == 2:
            self._run_muon(p, bound)
            return
        m = self.machine
        before: Tensor | None = None
        for operator, local in self._program(p):
            if not operator:
                m.drop(bound.pop(local))
                continue
            number = ops.full(m, "", (), "float64") if operator in ("div", "mul", "add") else None
            shape = _SHAPES[local](p) if local in _SHAPES else p.shape
            made = ops.full(m, f"aten::{operator}", shape, p.dtype, st.like(*p.layout) if shape == p.shape else None)
            if number is not None:
                m.drop(number)
            if before is not None:
                m.drop(before)
            before = None
            if local:
                if local in bound:
                    m.drop(bound[local])
                bound[local] = made
            else:
                before = made
        if before is not None:
            m.drop(before)


_ADAFACTOR = (("norm", "row_mean"), ("norm", "col_mean"), ("matmul", "update"))
_ADAFACTOR_VECTOR = (("pow", "grad_squared"), ("clone", "update"))


def _row_means(p: Tensor) -> st.Shape:
    return (*p.shape[:-1], 1)


def _column_means(p: Tensor) -> st.Shape:
    return (*p.shape[:-2], 1, p.shape[-1])


def _whole(p: Tensor) -> st.Shape:
    return p.shape


_SHAPES = {"row_mean": _row_means, "col_mean": _column_means}  # locals that are not of the parameter's shape


def _adafactor_state(p: Tensor) -> list[tuple[str, st.Shape, str]]:
    if len(p.shape) < 2:
        return [("variance", p.shape, p.dtype)]
    return [("row_var", _row_means(p), p.dtype), ("col_var", _column_means(p), p.dtype)]


def _adam8bit_state(p: Tensor) -> list[tuple[str, st.Shape, str]]:
    if p.elements < 4096:
        return [("state1", p.shape, "float32"), ("state2", p.shape, "float32")]
    blocks = -(-p.elements // 256)
    rows: list[tuple[str, st.Shape, str]] = []
    for i in (1, 2):
        rows += [(f"state{i}", p.shape, "uint8"), (f"absmax{i}", (blocks,), "float32"), (f"qmap{i}", (256,), "float32")]
    return rows
