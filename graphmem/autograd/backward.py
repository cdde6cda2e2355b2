"""The backward pass as torch's engine runs it: nodes by falling sequence number, gradients summed where they meet.

Sources: torch/csrc/autograd/engine.cpp (evaluate_function, validate_outputs), input_buffer.cpp (accumulate),
functions/accumulate_grad.h (stealing), all torch 2.13. Of one node: its gradients arrive, it runs, broadcast gradients
are summed to the shape of their input, the arrived ones die, the saved tensors die, the results move on.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from graphmem.autograd import ops
from graphmem.autograd.machine import Machine
from graphmem.autograd.tensor import Node, Tensor


def backward(m: Machine, loss: Tensor) -> None:
    """Run the backward pass of `loss`, leaving gradients in the `grad` of its leaves."""
    assert loss.node is not None, "the loss needs a gradient"
    with m.within(phase="backward", grad_enabled=False), m.scope():
        seed = ops.like(m, "aten::ones_like", loss)
        Engine(m).run(loss.node, loss.output, seed)


def forget(m: Machine, root: Node | None) -> None:
    """Give up what the functions behind an output that the backward pass did not start from have saved."""
    pending, seen = [root] if root is not None else [], {id(root)}
    while pending:
        node = pending.pop()
        for tensor in node.saved:
            m.release(tensor)
        node.saved.clear()
        following = [edge[0] for edge in node.edges if edge is not None and id(edge[0]) not in seen]
        seen.update(map(id, following))
        pending += following


class Engine:
    """One backward pass."""

    def __init__(self, machine: Machine) -> None:
        self.m = machine
        self.waiting: dict[int, int] = {}
        self.buffers: dict[int, list[Tensor | None]] = {}
        self.ready: list[tuple[int, int, Node]] = []
        self.pushed = 0
        self.reached: set[int] = set()

    def run(self, root: Node, output: int, seed: Tensor) -> None:
        """Evaluate everything that `root` leads to."""
        self._count_dependencies(root)
        self._forget_unreached()
        self._arrive(root, output, self.m.hold(seed))
        self._push(root)
        while self.ready:
            _, _, node = heapq.heappop(self.ready)
            with self.m.within(node=node.name, origin=node.origin):
                self._evaluate(node)

    def _count_dependencies(self, root: Node) -> None:
        pending = [root]
        self.reached.add(id(root))
        while pending:
            for edge in pending.pop().edges:
                if edge is None:
                    continue
                self.waiting[id(edge[0])] = self.waiting.get(id(edge[0]), 0) + 1
                if id(edge[0]) not in self.reached:
                    self.reached.add(id(edge[0]))
                    pending.append(edge[0])

    def _forget_unreached(self) -> None:
        for frame in self.m.frames:
            frame.forget(self.m, self.reached)
        self.m.frames.clear()

    def _push(self, node: Node) -> None:
        self.pushed += 1
        heapq.heappush(self.ready, (-node.sequence, self.pushed, node))

    def _evaluate(self, node: Node) -> None:
        m = self.m
        grads = self.buffers.pop(id(node))
        if node.variable is not None:
            self._accumulate_leaf(node.variable, grads[0])
            return
        first, read = len(m.steps), [t.storage.number for t in (*grads, *node.saved) if t is not None]
        outputs = self._call(node, grads)
        m.note_reads(first, read)
        for tensor in node.saved:
            m.release(tensor)
        node.saved.clear()
        if node.frame is not None:
            node.frame.leave(m, node)
        for edge, grad in zip(node.edges, outputs, strict=True):
            if edge is None:
                if grad is not None:
                    m.release(grad)
                continue
            target = edge[0]
            if grad is not None:
                self._arrive(target, edge[1], grad)
            self.waiting[id(target)] -= 1
            if self.waiting[id(target)] == 0:
                self.buffers.setdefault(id(target), [None] * target.outputs)
                self._push(target)

    def _call(self, node: Node, grads: list[Tensor | None]) -> list[Tensor | None]:
        """The node's results, each with a handle of its own; the gradients that arrived are given up."""
        m = self.m
        held: list[Tensor | None] = [None] * len(node.edges)
        with m.scope():
            if any(g is not None for g in grads):
                assert node.backward is not None
                entered = m.tape.enter(m, grads) if m.tape is not None else None
                unpacked = node.frame.unpack(m, node) if node.frame is not None else []
                made = node.backward(m, node, *grads)
                results: Sequence[Tensor | None] = (made,) if isinstance(made, Tensor) or made is None else made
                for i, grad in enumerate(results):
                    if grad is not None and i < len(held):
                        held[i] = m.hold(grad)
                if entered is not None and m.tape is not None:
                    m.tape.leave(m, node, [*node.saved, *unpacked], entered)
                for tensor in unpacked:  # of a hook: they die with the function, before what arrived
                    m.release(tensor)
            m.drop(*reversed(m.scopes[-1]))
            self._validate(node, held)
        for tensor_ in grads:
            if tensor_ is not None:
                m.release(tensor_)
        return held

    def _validate(self, node: Node, grads: list[Tensor | None]) -> None:
        """Sum broadcast gradients to the shape of the input they belong to, and cast them to its type."""
        m = self.m
        for i, grad in enumerate(grads):
            if grad is None or node.edges[i] is None:
                continue
            shape, dtype = node.metas[i]
            if grad.shape != shape:
                with m.scope():
                    summed = m.hold(ops.sum_to(m, grad, shape))
                m.release(grad)
                grads[i] = summed
            else:
                summed = grad
            if summed.dtype != dtype:
                with m.scope():
                    cast = m.hold(ops.cast(m, summed, dtype))
                m.release(summed)
                grads[i] = cast

    def _arrive(self, node: Node, position: int, grad: Tensor) -> None:
        """Put a gradient (and the handle on it) into the node's input, adding to what is there."""
        buffer = self.buffers.setdefault(id(node), [None] * node.outputs)
        old = buffer[position]
        if old is None:
            buffer[position] = grad
            return
        m = self.m
        if _is_sole_owner(old):
            ops.in_place(m, "aten::add_")
            m.release(grad)
        else:
            with m.scope():
                buffer[position] = m.hold(ops.pointwise(m, "aten::add", old, grad))
            m.release(old)
            m.release(grad)

    def _accumulate_leaf(self, variable: Tensor, grad: Tensor | None) -> None:
        if grad is None:
            return
        m = self.m
        if variable.grad is not None:
            ops.in_place(m, "aten::add_")
            m.release(grad)
        elif grad.refs == 1 and obeys_layout(grad, variable):
            variable.grad = grad
            self._name(grad, variable)
        else:
            with m.scope(), m.operator("aten::new_empty_strided"):
                strides = variable.strides if variable.is_dense else None
                variable.grad = m.hold(m.empty(variable.shape, grad.dtype, strides))
            m.release(grad)
            self._name(variable.grad, variable)

    def _name(self, grad: Tensor, variable: Tensor) -> None:
        record = self.m.records[grad.storage.number]
        record.kind, record.name = "gradient", f"{variable.name}.grad"


def _is_sole_owner(tensor: Tensor) -> bool:
    return tensor.refs == 1 and tensor.storage.refs == 1 and not tensor.is_view and tensor.is_dense


def obeys_layout(grad: Tensor, variable: Tensor) -> bool:
    """The gradient layout contract: strides of a dense variable, row-major otherwise."""
    if not variable.is_dense:
        return grad.is_contiguous
    pairs = zip(grad.shape, grad.strides, variable.strides, strict=True)
    return grad.shape == variable.shape and all(size == 1 or a == b for size, a, b in pairs)
