"""Stage -> Rank: one rank of a pipeline, run by torch.distributed.pipelining's Schedule1F1B.

Stage i of K runs min(M, K - i) forward passes ahead, then one backward and one forward in turn:

    stage 0 of 2, M = 4    F0 F1  B0 F2  B1 F3  B2  B3
    stage 1 of 2           F0     B0 F1  B1 F2  B2 F3  B3

There before the step: buffers that receive every micro-batch's inputs and output gradients, all M of them. Kept by the
schedule: a micro-batch's outputs until its backward, the last outputs and the last input gradients until the next ones
are there, those of the last forward but one of the passes ahead until no forward is left (its send is asynchronous, and
not waited for), and on the last stage all M outputs and losses; the outputs are joined in the end.
Source: torch/distributed/pipelining/{schedules,stage,_backward}.py of torch 2.13.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from math import prod

from graphmem.autograd import ops
from graphmem.autograd.forward import Forward
from graphmem.autograd.machine import Machine
from graphmem.autograd.strides import contiguous
from graphmem.autograd.tensor import Edge, Node, Tensor, itemsize
from graphmem.ir.graph import Issue
from graphmem.ir.options import TrainingOptions
from graphmem.ir.ranks import Rank
from graphmem.ir.types import TensorType
from graphmem.schedule.parallel.process import Cohort, Hooked, figures, flat, optimized
from graphmem.schedule.parallel.stage import Sent, Stage
from graphmem.schedule.step import forward_issues, given_value, given_values, loss_value, target_value


@dataclass
class Chunk:
    """One micro-batch between its forward and its backward pass."""

    leaves: list[Tensor]
    outputs: list[Tensor]
    loss: Tensor | None


@dataclass
class Runner:
    """The process of one stage."""

    m: Machine
    stage: Stage
    settings: TrainingOptions
    run: int  # micro-batches that are simulated
    chunks: list[Chunk] = field(default_factory=list)
    latest: list[Tensor] = field(default_factory=list)
    sending: list[Tensor] = field(default_factory=list)
    merged: list[Tensor] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    function: Forward | None = None
    unknown: dict[str, Issue] = field(default_factory=dict)

    def prepare(self) -> None:
        """What exists before the step."""
        m, stage = self.m, self.stage
        self.values = given_values(m, stage.program, self.settings)
        self.target = target_value(m, stage.program, self.settings) if stage.is_last else None
        more = stage.micro_batches - 1
        whole = sum(prod(g.type.shape) * itemsize(g.type.dtype) for g in stage.program.of("input"))
        whole += self.target.nbytes if self.target is not None else 0
        if more and whole:
            given_value(m, "input", "inputs of the other micro-batches", TensorType("uint8", (whole * more,)))
        self.received = [self._buffer(sent, f"{sent.name} received") for sent in stage.inputs]
        self.grads = [self._buffer(sent, f"{sent.name}.grad received") for sent in stage.outputs if sent.needs_grad]
        waiting = sum(sent.nbytes for sent in stage.inputs)
        waiting += sum(sent.nbytes for sent in stage.outputs if sent.needs_grad)
        if more and waiting:
            given_value(
                m, "communication", "received by the other micro-batches", TensorType("uint8", (waiting * more,))
            )

    def _buffer(self, sent: Sent, label: str) -> Tensor:
        return given_value(self.m, "communication", label, sent.type)

    def forward(self) -> Forward:
        """One micro-batch forward; its outputs take the place of the last ones that were sent."""
        m, stage = self.m, self.stage
        leaves = [_leaf(buffer, sent) for buffer, sent in zip(self.received, stage.inputs, strict=True)]
        values = {**self.values, **{sent.name: leaf for sent, leaf in zip(stage.inputs, leaves, strict=True)}}
        forward = self._function(values)
        outputs = forward.run()
        self.unknown.update(forward.unknown)
        for tensor in outputs:
            m.hold(tensor)  # in the cache, until its backward
        self._forget(forward, leaves)
        for tensor in outputs:
            m.hold(tensor)  # in `output` and the list of sends
        for tensor in self.latest:
            m.release(tensor)
        self.latest = outputs
        loss = loss_value(m, self.settings, outputs, self.target) if stage.is_last else None
        if stage.is_last:
            self.merged += [m.hold(t) for t in outputs]
            self.losses += [loss] if loss is not None else []
        self.chunks.append(Chunk(leaves, outputs, loss))
        return forward

    def _function(self, values: dict[str, Tensor]) -> Forward:
        """The stage's function, called anew: what it found out about its calls is kept."""
        if self.function is None:
            self.function = Forward(self.m, self.stage.program, values)
        again = copy(self.function)
        again.values, again.unknown = dict(values), {}
        return again

    def sent_ahead(self) -> list[Tensor]:
        """Outputs of the last micro-batch but one of the forward passes ahead.

        Its send is asynchronous, and the work that holds the tensors is waited for only when the last forward is over.
        """
        if self.stage.is_last or len(self.chunks) < 2:
            return []
        return [self.m.hold(t) for t in self.chunks[-2].outputs]

    def _forget(self, forward: Forward, leaves: list[Tensor]) -> None:
        """The names of the stage's function die when it returns."""
        for name, tensor in forward.values.items():
            if name not in forward.given and all(tensor is not leaf for leaf in leaves):
                self.m.release(tensor)

    def backward(self) -> None:
        """The oldest micro-batch backward; its input gradients take the place of those that were sent."""
        m, stage = self.m, self.stage
        chunk = self.chunks.pop(0)
        with m.within(phase="backward", kind="temporary", grad_enabled=False), m.scope():
            if chunk.loss is not None:
                if chunk.loss.node is not None:
                    Hooked(m, {}, _nothing).run(chunk.loss.node, 0, ops.like(m, "aten::ones_like", chunk.loss))
            else:
                self._from_received(chunk.outputs)
        grads = [leaf.grad for leaf in chunk.leaves if leaf.grad is not None]
        for leaf in chunk.leaves:
            m.accumulators.pop(id(leaf), None)
        for tensor in chunk.outputs:
            m.release(tensor)
        for tensor in self.sending:
            m.release(tensor)
        self.sending = grads if stage.index else []

    def _from_received(self, outputs: list[Tensor]) -> None:
        """torch.autograd.backward of several tensors, with the gradients that the next stage has sent."""
        m = self.m
        pairs = [(t, s) for t, s in zip(outputs, self.stage.outputs, strict=True) if s.needs_grad]
        edges: list[Edge] = []
        seeds: list[Tensor] = []
        for (tensor, _), grad in zip(pairs, self.grads, strict=True):
            edge = m.edge(tensor)
            if edge is not None:
                edges.append(edge)
                seeds.append(grad)
        if not edges:
            return
        metas = tuple((t.shape, t.dtype) for t in seeds)
        root = Node("GraphRoot", 1 << 61, tuple(edges), metas, lambda _m, _n, _g: tuple(seeds))
        Hooked(m, {}, _nothing).run(root, 0, seeds[0])

    def skip(self) -> None:
        """Put in what the micro-batches that are not run would have left on the last stage."""
        more = self.stage.micro_batches - self.run
        outputs, both = _storages(self.merged), _storages([*self.merged, *self.losses])
        if more and both:
            count = len(self.losses)
            flat(self.m, more * outputs // count, "aten::empty", "outputs of other micro-batches", "activation")
            nbytes = more * (both - outputs) // count
            self.losses.append(flat(self.m, nbytes, "aten::empty", "losses of other micro-batches", "activation"))

    def finish(self) -> None:
        """The outputs of the last stage are joined and stay beside the joined ones; losses are the caller's."""
        m = self.m
        for tensor in (*self.sending, *self.latest):
            m.release(tensor)
        if self.merged:
            whole = sum(t.nbytes for t in self.merged) // self.run * self.stage.micro_batches
            with m.within(phase="backward"):
                flat(m, whole, "aten::cat", "joined outputs", "activation")


def _nothing(_: Tensor) -> None:
    pass


def _leaf(buffer: Tensor, sent: Sent) -> Tensor:
    """The receive buffer as a leaf of this micro-batch's graph."""
    leaf = Tensor(buffer.storage, buffer.shape, contiguous(buffer.shape), buffer.dtype, name=sent.name)
    leaf.requires_grad = sent.needs_grad
    buffer.storage.refs += 1
    return leaf


def stage_rank(stage: Stage, settings: TrainingOptions, run: int | None = None) -> Rank:
    """The rank that runs the stage, exact for any number of micro-batches; at most twice those in flight and one run.

    By then one more has come in for each that was sent ahead, and every later one finds what the last of them found.
    On the last stage every further one adds its outputs and its loss, which stay: they are put in before the last.
    """
    m = Machine(device=settings.device)
    run = run or min(stage.micro_batches, 2 * stage.in_flight + 1)
    runner = Runner(m, stage, settings, run)
    runner.prepare()
    first = len(m.steps)
    for _ in range(stage.in_flight):
        runner.forward()
    asynchronous = runner.sent_ahead()
    for i in range(run - stage.in_flight):
        runner.backward()
        if i == run - stage.in_flight - 1:
            runner.skip()
        runner.forward()
    runner.backward()
    for tensor in asynchronous:
        m.release(tensor)
    while runner.chunks:
        runner.backward()
    runner.finish()
    parameters = [t for t in runner.values.values() if t.requires_grad]
    cohort = Cohort([stage.index], parameters, holds=_held(stage))
    optimized(m, settings, [cohort])
    return figures(m, first, [cohort])[0]


def unknown_in(stage: Stage, settings: TrainingOptions) -> tuple[Issue, ...]:
    """What has no rule, or does not fit its rule, when the stage runs by itself."""
    m = Machine(device=settings.device)
    runner = Runner(m, stage, settings, 1)
    runner.prepare()
    function = runner.forward()
    function.unknown = runner.unknown
    return forward_issues(function)


def _storages(tensors: list[Tensor]) -> int:
    """Bytes of what the tensors are on: a mean keeps the storage of what it is the mean of."""
    return sum({id(t.storage): t.storage.nbytes for t in tensors}.values())


def _held(stage: Stage) -> str:
    calls = stage.program.calls
    scopes = [call.origin.scope or call.outputs[0] for call in (calls[0], calls[-1])]
    span = scopes[0] if scopes[0] == scopes[1] else f"{scopes[0]} ... {scopes[1]}"
    return f"{len(calls)} calls, {span}"
