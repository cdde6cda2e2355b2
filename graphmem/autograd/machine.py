"""Rules' calls -> Machine: a Trace whose storages are freed with the last tensor on them, and the backward graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Protocol, TypeVar

from graphmem.autograd import strides as st
from graphmem.autograd.strides import Shape, Strides
from graphmem.autograd.tensor import Backward, Edge, Node, Tensor, itemsize
from graphmem.autograd.trace import UNMADE, Trace
from graphmem.ir.errors import BrokenInvariantError

F = TypeVar("F", bound=Callable[..., Any])


class Packer(Protocol):
    """Takes what a node saves; `fresh` are the outputs that the operator has allocated for it."""

    def pack(self, m: Machine, node: Node, saves: Sequence[Tensor], fresh: Sequence[Tensor]) -> None:
        """Take them."""


class Notes(Protocol):
    """Writes down what runs, call by call and function by function; see tape.Tape."""

    def call(self, m: Machine) -> None:
        """The next call of the program begins."""

    def function(self, m: Machine, name: str, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> None:
        """A differentiable function has run."""

    def recorded(self, node: Node) -> None:
        """The function that has just run will be followed backward by this node."""

    def undo(self) -> None:
        """The function was stopped before it ran."""

    def enter(self, m: Machine, grads: Sequence[Tensor | None]) -> tuple[int, int]:
        """A backward node begins."""

    def leave(self, m: Machine, node: Node, saved: Sequence[Tensor], entered: tuple[int, int]) -> None:
        """It is done; `entered` is what `enter` returned."""


@dataclass(slots=True)
class Machine(Trace):
    """The state of one simulated process."""

    sequence: int = 0
    scopes: list[list[Tensor]] = field(default_factory=lambda: [[]])
    accumulators: dict[int, Node] = field(default_factory=dict)
    guessed: dict[str, str] = field(default_factory=dict)  # operator -> what of its memory is a lower bound
    packer: Packer | None = None  # takes what nodes save, while a checkpointed call runs
    frames: list[Any] = field(default_factory=list)  # of the checkpointed calls of the forward pass
    tape: Notes | None = None

    # -- memory

    def empty(self, shape: Shape, dtype: str, strides: Strides | None = None) -> Tensor:
        """A new tensor on a new storage, owned by the current scope; contiguous unless told."""
        strides = st.contiguous(shape) if strides is None else strides
        last = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        elements = 0 if any(size == 0 for size in shape) else last + 1
        storage = self.allocate(elements * itemsize(dtype), shape, dtype)
        return self._owned(Tensor(storage, shape, strides, dtype))

    def alias(self, base: Tensor, shape: Shape, strides: Strides, dtype: str = "") -> Tensor:
        """Another tensor on the same storage."""
        return self._owned(Tensor(base.storage, shape, strides, dtype or base.dtype, is_view=True))

    def _owned(self, tensor: Tensor) -> Tensor:
        tensor.storage.refs += 1
        self.scopes[-1].append(tensor)
        return tensor

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
            self.free(storage)

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
        self.close()

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
        at = self.context
        if self.tape is not None and at.grad_enabled:
            self.tape.function(self, name, inputs, outputs)
        is_recorded = at.grad_enabled and any(t is not None and t.requires_grad for t in inputs)
        if not is_recorded and self.packer is None:
            return
        kept = [t for t in saves if t is not None]
        if not is_recorded:
            if self.packer is not None and at.grad_enabled:
                node = Node(name, 0, (), (), None)
                self.packer.pack(self, node, [], _fresh(inputs, [*outputs, *kept]))
            return
        edges = tuple(self.edge(t) for t in inputs)
        metas = tuple((t.shape, t.dtype) if t is not None else ((), "") for t in inputs)
        node = Node(name, self.sequence, edges, metas, backward, outputs=len(outputs), origin=at.origin)
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
            name, origin = "torch::autograd::AccumulateGrad", self.context.origin
            self.accumulators[id(tensor)] = Node(name, 1 << 62, (), (), None, variable=tensor, origin=origin)
        return self.accumulators[id(tensor)], 0


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
