"""Machine: allocates, counts references, opens operators and writes the trace of everything that happened.

Outermost operators are the steps of the trace. A buffer that is freed inside the operator that allocated it is that
operator's workspace; every other buffer is alive from its operator through the last operator before its release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Protocol, TypeVar

from graphmem.autograd import strides as st
from graphmem.autograd.strides import Shape, Strides
from graphmem.autograd.tape import Tape
from graphmem.autograd.tensor import Backward, Edge, Node, Storage, Tensor, itemsize
from graphmem.ir.errors import BrokenInvariantError
from graphmem.ir.graph import Origin

F = TypeVar("F", bound=Callable[..., Any])
NO_ORIGIN = Origin()
UNMADE = "unmade"  # kind of a record that the trace has no allocation for


@dataclass(slots=True)
class Record:
    """One allocation of the trace: alive in steps start..stop, half-open; `stop` is -1 while it lives."""

    nbytes: int
    start: int
    stop: int
    kind: str
    name: str
    origin: Origin
    dtype: str
    shape: Shape


@dataclass(slots=True)
class Operation:
    """One outermost operator that ran."""

    operator: str
    phase: str
    node: str
    origin: Origin
    workspace: int = 0


class Packer(Protocol):
    """Takes what a node saves; `fresh` are the outputs that the operator has allocated for it."""

    def pack(self, m: Machine, node: Node, saves: Sequence[Tensor], fresh: Sequence[Tensor]) -> None:
        """Take them."""


@dataclass(slots=True)
class Autocast:
    """The lower precision of a torch.autocast that is entered, and the casts of weights that it keeps, by tensor."""

    dtype: str
    cache: dict[int, Tensor]


@dataclass(slots=True)
class Machine:
    """The state of one simulated process. `device` chooses between the rules of "cpu" and "cuda"."""

    device: str = "cpu"
    records: list[Record] = field(default_factory=list)
    steps: list[Operation] = field(default_factory=list)
    events: list[int] = field(default_factory=list)  # +number + 1 on allocation, -(number + 1) on release
    reads: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)  # steps [a, b) read these records
    phase: str = "forward"
    grad_enabled: bool = True
    origin: Origin = NO_ORIGIN
    node: str = ""
    kind: str = "activation"
    label: str = ""
    open_: str = ""
    sequence: int = 0
    scopes: list[list[Tensor]] = field(default_factory=lambda: [[]])
    accumulators: dict[int, Node] = field(default_factory=dict)
    inner: dict[int, int] = field(default_factory=dict)  # storages allocated in the open operator
    inner_live: int = 0
    inner_top: int = 0
    guessed: dict[str, str] = field(default_factory=dict)  # operator -> what of its memory is a lower bound
    wanted: tuple[Shape, ...] = ()  # output shapes and types that the file states, for the running call
    wanted_dtypes: tuple[str, ...] = ()
    autocast: Autocast | None = None
    packer: Packer | None = None  # takes what nodes save, while a checkpointed call runs
    frames: list[Any] = field(default_factory=list)  # of the checkpointed calls of the forward pass
    tape: Tape | None = None
    opened: int = 0  # number of events before the open operator

    # -- memory

    def empty(self, shape: Shape, dtype: str, strides: Strides | None = None) -> Tensor:
        """A new tensor on a new storage, owned by the current scope; contiguous unless told."""
        strides = st.contiguous(shape) if strides is None else strides
        last = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        elements = 0 if any(size == 0 for size in shape) else last + 1
        storage = self._allocate(elements * itemsize(dtype), shape, dtype)
        return self._owned(Tensor(storage, shape, strides, dtype))

    def alias(self, base: Tensor, shape: Shape, strides: Strides, dtype: str = "") -> Tensor:
        """Another tensor on the same storage."""
        return self._owned(Tensor(base.storage, shape, strides, dtype or base.dtype, is_view=True))

    def _owned(self, tensor: Tensor) -> Tensor:
        tensor.storage.refs += 1
        self.scopes[-1].append(tensor)
        return tensor

    def _allocate(self, nbytes: int, shape: Shape, dtype: str) -> Storage:
        if not self.open_:
            self.steps.append(Operation("", self.phase, self.node, self.origin))
        number, step = len(self.records), len(self.steps) - 1
        self.records.append(Record(nbytes, step, -1, self.kind, self.label, self.origin, dtype, shape))
        self.events.append(number + 1)
        if self.open_:
            self.inner[number] = nbytes
            self.inner_live += nbytes
            self.inner_top = max(self.inner_top, self.inner_live)
        return Storage(number, nbytes)

    def hold(self, tensor: Tensor) -> Tensor:
        """One more handle."""
        tensor.refs += 1
        return tensor

    def release(self, tensor: Tensor) -> None:
        """One handle less; the last frees the tensor, and its storage when that was the last tensor on it."""
        tensor.refs -= 1
        if tensor.refs:
            if tensor.refs < 0:
                raise BrokenInvariantError(f"tensor {tensor.name or tensor.shape} was released too often")
            return
        storage = tensor.storage
        storage.refs -= 1
        if storage.refs == 0:
            self._free(storage)

    def _free(self, storage: Storage) -> None:
        record = self.records[storage.number]
        record.stop = len(self.steps)
        if record.kind == UNMADE:
            return
        self.events.append(-(storage.number + 1))
        if storage.number in self.inner:
            self.inner_live -= self.inner.pop(storage.number)
            record.kind = "workspace"

    def unmake(self, number: int) -> None:
        """Take an allocation of the open operator back: it was stopped before it came to that."""
        if number not in self.inner:
            return
        self.records[number].kind, self.records[number].nbytes = UNMADE, 0
        self.events.remove(number + 1)
        self.inner_live -= self.inner.pop(number)
        live = self.inner_top = 0
        for event in self.events[self.opened :]:
            live += self.records[abs(event) - 1].nbytes if event > 0 else -self.records[abs(event) - 1].nbytes
            self.inner_top = max(self.inner_top, live)

    def never(self, tensor: Tensor) -> None:
        """Let a tensor that was made before the step not have been made: the step shows that nothing makes it."""
        number = tensor.storage.number
        self.records[number].kind, self.records[number].nbytes = UNMADE, 0
        self.events.remove(number + 1)

    def drop(self, *tensors: Tensor) -> None:
        """Give up the scope's handles early, as the end of a C++ statement does for its temporaries."""
        scope = self.scopes[-1]
        for tensor in tensors:
            for i in range(len(scope) - 1, -1, -1):
                if scope[i] is tensor:
                    del scope[i]
                    self.release(tensor)
                    break

    @contextmanager
    def scope(self) -> Iterator[list[Tensor]]:
        """Handles taken inside are given up at the end; those put in the yielded list pass to the scope around."""
        kept: list[Tensor] = []
        mine: list[Tensor] = []
        self.scopes.append(mine)
        yield kept
        self.scopes.pop()
        outer = self.scopes[-1]
        for tensor in kept:
            outer.append(self.hold(tensor))
        for tensor in reversed(mine):
            self.release(tensor)

    def unwind(self, depth: int) -> None:
        """Leave operators and scopes beyond the first `depth` that an exception has broken off."""
        while len(self.scopes) > depth:
            for tensor in reversed(self.scopes.pop()):
                self.release(tensor)
        if self.open_:
            self.steps[-1].workspace = self.inner_top - self.inner_live
        self.inner, self.open_ = {}, ""

    @contextmanager
    def operator(self, name: str) -> Iterator[None]:
        """An ATen operator; inside another one it is not seen."""
        if self.open_:
            yield
            return
        self.open_ = name
        self.inner, self.inner_live, self.inner_top = {}, 0, 0
        self.opened = len(self.events)
        self.steps.append(Operation(name, self.phase, self.node, self.origin))
        yield
        self.steps[-1].workspace = self.inner_top - self.inner_live
        self.inner = {}
        self.open_ = ""

    def note_reads(self, first: int, records: Sequence[int]) -> None:
        """Write down, for pictures only, that the operators from step `first` on have read these records."""
        if records and len(self.steps) > first:
            self.reads.append((first, len(self.steps), tuple(records)))

    # -- autograd

    def record(
        self,
        name: str,
        inputs: Sequence[Tensor | None],
        outputs: Sequence[Tensor],
        backward: Backward,
        saves: Iterable[Tensor | None] = (),
    ) -> None:
        """Enter a function into the backward graph when some input needs a gradient; saved tensors are held.

        `backward(machine, node, *grads)` returns one gradient, or as many as there are inputs.
        """
        if self.tape is not None and self.grad_enabled:
            self.tape.function(self, name, inputs, outputs)
        is_recorded = self.grad_enabled and any(t is not None and t.requires_grad for t in inputs)
        if not is_recorded and self.packer is None:
            return
        kept = [t for t in saves if t is not None]
        if not is_recorded:
            if self.packer is not None and self.grad_enabled:
                node = Node(name, 0, (), (), None)
                self.packer.pack(self, node, [], _fresh(inputs, [*outputs, *kept]))
            return
        edges = tuple(self.edge(t) for t in inputs)
        metas = tuple((t.shape, t.dtype) if t is not None else ((), "") for t in inputs)
        node = Node(name, self.sequence, edges, metas, backward, outputs=len(outputs), origin=self.origin)
        self.sequence += 1
        if self.packer is None:
            node.saved = [self.hold(t) for t in kept]
        else:
            self.packer.pack(self, node, kept, _fresh(inputs, [*outputs, *kept]))
        if self.tape is not None:
            self.tape.recorded(node)
        for i, tensor in enumerate(outputs):
            if tensor.is_float:
                tensor.node, tensor.output, tensor.requires_grad = node, i, True

    def edge(self, tensor: Tensor | None) -> Edge:
        """Where the gradient of `tensor` goes."""
        if tensor is None or not tensor.requires_grad:
            return None
        if tensor.node is not None:
            return tensor.node, tensor.output
        if id(tensor) not in self.accumulators:
            name = "torch::autograd::AccumulateGrad"
            self.accumulators[id(tensor)] = Node(name, 1 << 62, (), (), None, variable=tensor, origin=self.origin)
        return self.accumulators[id(tensor)], 0

    @contextmanager
    def no_grad(self) -> Iterator[None]:
        """Record nothing inside."""
        before, self.grad_enabled = self.grad_enabled, False
        yield
        self.grad_enabled = before


def _fresh(inputs: Sequence[Tensor | None], made: Sequence[Tensor]) -> list[Tensor]:
    """The tensors that are on no input's memory, one of each memory, in order."""
    taken = {id(t.storage) for t in inputs if t is not None}
    by_storage = {id(t.storage): t for t in reversed(made) if id(t.storage) not in taken}
    return list(by_storage.values())[::-1]


def results(value: Any) -> list[Tensor]:
    """The tensors in what a rule returned."""
    if isinstance(value, Tensor):
        return [value]
    return [t for t in value if t is not None] if isinstance(value, tuple | list) else []


def op(name: str) -> Callable[[F], F]:
    """Make a function an ATen operator: its temporaries die when it returns, what it returns is the caller's."""

    def decorate(function: F) -> F:
        @wraps(function)
        def run(m: Machine, *args: Any, **kwargs: Any) -> Any:
            with m.operator(name), m.scope() as kept:
                value = function(m, *args, **kwargs)
                kept.extend(results(value))
            return value

        return run  # type: ignore[return-value]

    return decorate
