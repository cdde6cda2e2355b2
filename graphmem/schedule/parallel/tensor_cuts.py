"""Program -> Blocks: groups of linear layers between which a dimension can be cut over ranks.

    x -- up (cut by columns) -- gelu -- down (cut by rows) -- all-reduce
    x -- q, k, v (columns) -- attention by heads -- out (rows) -- all-reduce

Found from the calls alone: a linear layer is cut by columns, the cut is followed through calls (`transfer.py`) until
it ends in linear layers that read it, which are cut by rows; what else a call on the way needs cut is looked for
backwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphmem.autograd.strides import Shape
from graphmem.ir.errors import misfits
from graphmem.ir.program import Call, Program, Ref
from graphmem.schedule.parallel.transfer import Cut, NeedsError, StuckError, base, passed

COLUMNS = 16  # linear layers of a block that are cut by columns, at most


@dataclass(frozen=True, slots=True)
class Linear:
    """A call of a linear layer: its input, weight and bias, and which dimension of the weight is which."""

    position: int
    x: str
    weight: str
    bias: str | None
    features: int  # dimension of the weight that makes outputs; the other one reads inputs


@dataclass(slots=True)
class Block:
    """`dims` of values and `weights` of parameters are the dimensions that are cut."""

    columns: list[Linear]
    rows: list[Linear] = field(default_factory=list)
    dims: dict[str, int] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)


def blocks(program: Program, shapes: Mapping[str, Shape], parts: int) -> tuple[list[Block], str]:
    """All blocks that can be cut into `parts`, and why the first one that cannot be was given up.

    `shapes` are those of all values.
    """
    finder = _Finder(program, shapes, parts)
    found: list[Block] = []
    taken: set[int] = set()
    reason = ""
    for position in sorted(finder.linears):
        if position in taken:
            continue
        try:
            block = finder.block(finder.linears[position], taken)
        except StuckError as stuck:
            reason = reason or str(stuck)
            continue
        found.append(block)
        taken.update(linear.position for linear in (*block.columns, *block.rows))
    return found, reason or "no linear layer has a weight of its own"


class _Finder:
    def __init__(self, program: Program, shapes: Mapping[str, Shape], parts: int) -> None:
        self.program, self.shapes, self.parts = program, shapes, parts
        self.uses = Counter(name for call in program.calls for name in call.reads)
        self.parameters = {g.name for g in program.of("parameter")}
        self.maker: dict[str, int] = {}
        for position, call in enumerate(program.calls):
            self.maker.update(dict.fromkeys(call.outputs, position))
        found = (self._linear(i, call) for i, call in enumerate(program.calls))
        self.linears = {linear.position: linear for linear in found if linear is not None}

    def _linear(self, position: int, call: Call) -> Linear | None:
        names = [arg.name if isinstance(arg, Ref) else None for arg in call.args]
        name = base(call.target)
        if name == "linear" and len(names) >= 2:
            x, weight, bias, features = names[0], names[1], (names[2] if len(names) > 2 else None), 0
        elif name == "addmm" and len(names) >= 3:
            bias, x, weight, features = names[0], names[1], names[2], 1
        elif name in ("matmul", "mm") and len(names) >= 2:
            x, weight, bias, features = names[0], names[1], None, 1
        else:
            return None
        own = [n for n in (weight, bias) if n is not None]
        if x is None or weight is None or any(n not in self.parameters or self.uses[n] != 1 for n in own):
            return None
        return Linear(position, x, weight, bias, features) if len(self.shapes[weight]) == 2 else None

    def block(self, first: Linear, taken: set[int]) -> Block:
        """The block that the layer opens. Raises StuckError with the reason when there is none."""
        columns = {first.position: first}
        for _ in range(COLUMNS):
            try:
                return self._followed(list(columns.values()), taken)
            except NeedsError as need:
                more = self._sources(str(need), taken)
                if not more or all(linear.position in columns for linear in more):
                    raise StuckError(f"'{need}' would have to be cut as well") from None
                columns.update({linear.position: linear for linear in more})
        raise StuckError("too many layers would have to be cut together")

    def _sources(self, name: str, taken: set[int]) -> list[Linear]:
        """The linear layers that a value is made of, or nothing when one of them is in another block."""
        found: dict[int, Linear] = {}
        seen: set[int] = set()
        pending = [name]
        while pending:
            at = self.maker.get(pending.pop())
            if at in self.linears:
                found[at] = self.linears[at]
            elif at is not None and at not in seen:
                seen.add(at)
                pending += self.program.calls[at].reads
        return [] if taken & set(found) else [found[at] for at in sorted(found)]

    def _followed(self, columns: list[Linear], taken: set[int]) -> Block:
        block = Block(columns)
        for linear in columns:
            self._open(block, linear)
        at = {linear.position for linear in columns}
        for position in range(min(at), len(self.program.calls)):
            call = self.program.calls[position]
            if position in at:
                if any(name in block.dims for name in call.reads):
                    raise StuckError("one layer of the block reads another")
                self._set(block, call, len(self.shapes[call.outputs[0]]) - 1)
            elif any(name in block.dims for name in call.reads):
                self._pass(block, position, call, taken)
        if not block.rows:
            raise StuckError("no linear layer reads what is cut")
        whole = [name for name in self.program.outputs if name in block.dims]
        if whole:
            raise StuckError(f"output '{whole[0]}' of the model would be cut")
        return block

    def _open(self, block: Block, linear: Linear) -> None:
        size = self.shapes[linear.weight][linear.features]
        if size % self.parts:
            raise StuckError(f"'{linear.weight}' has {size} outputs, which {self.parts} does not divide")
        block.weights[linear.weight] = linear.features
        if linear.bias is not None:
            block.weights[linear.bias] = 0

    def _pass(self, block: Block, position: int, call: Call, taken: set[int]) -> None:
        linear = self.linears.get(position)
        if linear is not None:
            if position in taken or block.dims.get(linear.x) != len(self.shapes[linear.x]) - 1:
                raise StuckError(f"'{linear.weight}' does not read the dimension that is cut")
            block.weights[linear.weight] = 1 - linear.features
            block.rows.append(linear)
            return
        try:
            dim = passed(call, Cut(block.dims, self.shapes, self.parts))
        except NeedsError as need:
            if not self._own_parameter(block, call, str(need)):
                raise
            dim = passed(call, Cut({**block.dims, **block.weights}, self.shapes, self.parts))
        except misfits() as error:  # a call of another form than its rule is for
            raise StuckError(f"{call.target} is not followed ({error})") from error
        self._set(block, call, dim)

    def _own_parameter(self, block: Block, call: Call, name: str) -> bool:
        """A bias or scale that only this call reads is cut with what it is applied to."""
        if name not in self.parameters or self.uses[name] != 1:
            return False
        x = next(n for n in call.reads if n in block.dims)
        dim = block.dims[x] - len(self.shapes[x]) + len(self.shapes[name])
        if dim < 0 or self.shapes[name][dim] % self.parts:
            return False
        block.weights[name] = dim
        return True

    def _set(self, block: Block, call: Call, dim: int) -> None:
        for name in call.outputs:
            shape = self.shapes.get(name, ())
            if dim < len(shape) and shape[dim] % self.parts == 0:
                block.dims[name] = dim
            elif name == call.outputs[0]:
                raise StuckError(f"{call.target} makes {list(shape)}, which {self.parts} does not divide")


def local(program: Program, found: list[Block], shapes: Mapping[str, Shape], parts: int) -> Program:
    """The program of one rank: cut types and sizes; a row layer adds its bias after the all-reduce."""
    dims: dict[str, int] = {}
    for block in found:
        dims |= block.dims | block.weights
    rows = {linear.position: linear for block in found for linear in block.rows}
    calls: list[Call] = []
    for position, call in enumerate(program.calls):
        calls += _row(call, rows[position]) if position in rows else [_cut_call(call, dims, shapes, parts)]
    given = tuple(
        g if g.name not in dims else type(g)(g.name, g.role, _cut_type(g.type, dims[g.name], parts))
        for g in program.given
    )
    return type(program)(
        tuple(calls), given, program.outputs, program.inferred, program.issues, program.output_type, program.loose
    )


def _cut_type(type_: Any, dim: int, parts: int) -> Any:
    shape = type_.shape
    return type(type_)(type_.dtype, (*shape[:dim], shape[dim] // parts, *shape[dim + 1 :]))


def _cut_call(call: Call, dims: Mapping[str, int], shapes: Mapping[str, Shape], parts: int) -> Call:
    if not any(name in dims for name in call.outputs):
        return call
    types = tuple(
        _cut_type(t, dims[n], parts) if n in dims else t for n, t in zip(call.outputs, call.types, strict=False)
    )
    args = call.args
    if base(call.target) in ("split", "split_with_sizes", "tensor_split"):
        x, size = args[0], args[1]
        dim = args[2] if len(args) > 2 else call.kwargs.get("dim", 0)
        if dim % len(shapes[x.name]) == dims.get(x.name):
            args = (x, size // parts if isinstance(size, int) else [s // parts for s in size], *args[2:])
    return Call(call.target, args, call.outputs, types, call.kwargs, call.origin)


def _row(call: Call, linear: Linear) -> list[Call]:
    """The partial product, all-reduced in place, then the bias."""
    if linear.bias is None:
        return [call]
    partial = f"{call.outputs[0]}:partial"
    target, args = ("aten.mm", call.args[1:3]) if base(call.target) == "addmm" else (call.target, call.args[:2])
    return [
        Call(target, args, (partial,), call.types, {}, call.origin),
        Call("aten.add.Tensor", (Ref(partial), Ref(linear.bias)), call.outputs, call.types, {}, call.origin),
    ]
