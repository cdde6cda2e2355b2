"""Against PyTorch's own partitioner: the same joint graphs, its course at ten budgets, ours at the peak of its course.

Needs torch and SciPy. AOTAutograd traces four networks; `min_cut_rematerialization_partition` splits the joint graph at
every `activation_memory_budget`; the evaluator replays what it would run. The reimplemented knapsack stands beside it,
and "every 2nd layer" of the GPT with what ours costs at the same peak.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch._functorch.config
from functorch.compile import make_boxed_func
from torch import nn
from torch._functorch.aot_autograd import aot_module
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch.utils.flop_counter import flop_registry

from graphmem.checkpoint.archive import Archive
from graphmem.checkpoint.evaluate import course_of, judge
from graphmem.checkpoint.kernel import Kernel
from graphmem.checkpoint.mincut import moment_of, offer
from graphmem.checkpoint.simple import knapsack_choices
from graphmem.checkpoint.solve import Search, deadline_after
from graphmem.ir.recompute import Operation, Point, Recompute

SECONDS = 15.0  # of our search, at most
BUDGETS = tuple(i / 10 for i in range(10))
VIEWS = {"getitem", "view", "_unsafe_view", "t", "transpose", "permute", "expand", "unsqueeze", "squeeze", "detach",
         "alias", "split", "slice", "select", "as_strided"}  # fmt: skip


class Block(nn.Module):
    """A transformer block, attention written out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm, self.norm_too = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down, self.heads = nn.Linear(width, 4 * width), nn.Linear(4 * width, width), heads

    def forward(self, x: Any) -> Any:
        """Tensor -> tensor."""
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1))
        mixed = torch.softmax(q @ k.transpose(-1, -2) * 0.125, -1) @ v
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(nn.functional.gelu(self.up(self.norm_too(x))))


class Gpt(nn.Module):
    """A small language model."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(2000, 256), nn.Linear(256, 2000, bias=False)
        self.blocks = nn.Sequential(*(Block(256, 4) for _ in range(layers)))

    def forward(self, x: Any) -> Any:
        """Tensor -> tensor."""
        return self.head(self.blocks(self.embed(x)))


class Residual(nn.Module):
    """A bottleneck of three convolutions."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        widths = ((outside, inside, 1), (inside, inside, 3), (inside, outside, 1))
        self.path = nn.Sequential(
            *(
                layer
                for a, b, k in widths
                for layer in (
                    nn.Conv2d(a, b, k, padding=k // 2),
                    nn.BatchNorm2d(b, track_running_stats=False),
                    nn.ReLU(),
                )
            )
        )

    def forward(self, x: Any) -> Any:
        """Tensor -> tensor."""
        return torch.relu(x + self.path(x))


class Unet(nn.Module):
    """Four levels with skips."""

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64, 128)
        self.down = nn.ModuleList(self._two(a, b) for a, b in zip((3, *widths), widths, strict=False))
        self.up = nn.ModuleList(self._two(a + b, a) for a, b in pairwise(widths))
        self.last = nn.Conv2d(16, 4, 1)

    def _two(self, a: int, b: int) -> nn.Module:
        one, two = (
            (nn.Conv2d(x, b, 3, padding=1), nn.BatchNorm2d(b, track_running_stats=False), nn.ReLU()) for x in (a, b)
        )
        return nn.Sequential(*one, *two)

    def forward(self, x: Any) -> Any:
        """Tensor -> tensor."""
        kept = []
        for level in self.down:
            x = level(x if not kept else nn.functional.max_pool2d(x, 2))
            kept.append(x)
        for level, skip in zip(reversed(self.up), reversed(kept[:-1]), strict=True):
            x = level(torch.cat([skip, nn.functional.interpolate(x, scale_factor=2.0)], 1))
        return self.last(x)


def networks() -> dict[str, tuple[nn.Module, Any]]:
    mlp = nn.Sequential(
        *(layer for i in range(12) for layer in (nn.Linear(256 << i % 3, 256 << (i + 1) % 3), nn.GELU()))
    )
    resnet = nn.Sequential(nn.Conv2d(3, 64, 3), *(Residual(16 << i % 2, 64) for i in range(8)), nn.AdaptiveAvgPool2d(1))
    return {
        "gpt": (Gpt(8), torch.randint(0, 2000, (4, 128))),
        "resnet": (resnet, torch.randn(4, 3, 56, 56)),
        "unet": (Unet(), torch.randn(2, 3, 64, 64)),
        "mlp": (mlp, torch.randn(512, 256)),
    }


def nbytes(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    return sum(map(nbytes, value)) if isinstance(value, list | tuple) else 0


def cost(node: Any) -> int:
    """Nanoseconds at 10 Tflop/s or 1 TB/s, whichever is slower."""
    packet = getattr(node.target, "overloadpacket", None)
    values = [argument.meta.get("val") for argument in node.all_input_nodes]
    moved = (nbytes(node.meta["val"]) + nbytes(values)) / 1000
    flops = 0
    if packet in flop_registry:

        def value(argument: Any) -> Any:
            return argument.meta["val"] if isinstance(argument, torch.fx.Node) else argument

        arguments = torch.fx.node.map_aggregate(node.args, value)
        flops = flop_registry[packet](*arguments, **node.kwargs, out_val=node.meta["val"])
    return int(max(moved, flops / 10_000)) + 1


class Joint:
    """The question of a joint graph: views are their base, inputs are not counted."""

    def __init__(self, graph: Any, forward_names: set[str]) -> None:
        self.number: dict[str, int] = {}
        operations, reads = [], []
        root: dict[str, int | None] = {}
        for node in graph.nodes:
            sources = [root[u.name] for u in node.all_input_nodes if u.name in root]
            if node.op != "call_function":
                root[node.name] = None
                continue
            name = getattr(
                getattr(node.target, "overloadpacket", None), "__name__", getattr(node.target, "__name__", "")
            )
            if name in VIEWS and sources:
                root[node.name] = sources[0]
                continue
            root[node.name] = self.number[node.name] = len(operations)
            reads.append(tuple(sorted({u for u in sources if u is not None})))
            size = nbytes(node.meta.get("val"))
            operations.append(Operation(node.name, size, cost(node), backward=node.name not in forward_names))
        self.question = Recompute(tuple(operations), tuple(reads))

    def order(self, *graphs: Any) -> list[int]:
        """What the graphs compute; values handed from one to the other bear the same names and are computed once."""
        nodes = [node for graph in graphs for node in graph.nodes if node.op == "call_function"]
        return [self.number[node.name] for node in nodes if node.name in self.number]


def boxed(graph: Any, _: Any) -> Any:
    return make_boxed_func(graph.forward)


def partitions(module: nn.Module, x: Any) -> list[tuple[float, Any, Any, Any]]:
    """(budget, joint, forward, backward) graphs."""
    found: list[tuple[float, Any, Any, Any]] = []
    for budget in (1.0, *BUDGETS):

        def split(joint: Any, inputs: Any, budget: float = budget, **more: Any) -> Any:
            halves = min_cut_rematerialization_partition(joint, inputs, **more)
            found.append((budget, joint.graph, halves[0].graph, halves[1].graph))
            return halves

        torch._dynamo.reset()
        with torch._functorch.config.patch(activation_memory_budget=budget, activation_memory_budget_solver="dp"):
            compiled = aot_module(module, fw_compiler=boxed, bw_compiler=boxed, partition_fn=split)
            compiled(x).float().square().mean().backward()
    return found


def first_of_backward(graph: Any) -> set[str]:
    """Names of the operations before the first that depends on a gradient."""
    reached: set[str] = set()
    before: set[str] = set()
    for node in graph.nodes:
        if "tangents" in node.name or any(u.name in reached for u in node.all_input_nodes):
            reached.add(node.name)
        elif all("tangents" in name for name in reached):
            before.add(node.name)
    return before


def percent(question: Recompute, spent: int) -> float:
    return 100 * (spent / question.total_cost - 1)


def ours_at(question: Recompute, peak: int) -> str:
    found = Search(question, deadline_after(SECONDS)).point(peak)
    if not isinstance(found, Point):
        return f"{'none':>8}"
    return f"{percent(question, found.judged.cost):8.3f} {percent(question, found.bound):8.3f}"


def compare(name: str, module: nn.Module, x: Any) -> None:
    found = partitions(module, x)
    joint = Joint(found[0][1], first_of_backward(found[0][1]))
    question, baseline = joint.question, Search(joint.question).baseline.peak
    print(f"\n{name}: {len(question)} operations, keep-all peak {baseline:,} bytes", flush=True)
    print("budget   PyTorch: peak %  extra %      ours %  bound %     knapsack: peak %  extra %")
    kernel, moment = Kernel(question), moment_of(question)
    masks = dict(knapsack_choices(question, moment.stage, (1.0, *BUDGETS)))
    worse = 0
    for budget, _, forward, backward in found:
        course = course_of(question, joint.order(forward, backward))
        theirs = judge(question.in_free_order(), course, "PyTorch")
        line = f"{budget:6.1f} {100 * theirs.peak / baseline:17.1f} {percent(question, theirs.cost):8.3f}"
        ours = ours_at(question, theirs.peak)
        worse += ours.split()[0] == "none" or float(ours.split()[0]) > percent(question, theirs.cost) + 1e-3
        archive = Archive()
        offer(kernel, moment.stage, masks[budget], archive, "knapsack")
        again = archive.least
        line += f" {ours:>19} {100 * again.peak / baseline:21.1f} {percent(question, again.cost):8.3f}"
        print(line, flush=True)
    print(f"{name}: worse than PyTorch at {worse} of {len(found)} budgets")
    if name == "gpt":
        every_second_layer(question, kernel, moment.stage, baseline)


def every_second_layer(question: Recompute, kernel: Kernel, stage: int, baseline: int) -> None:
    sums = [v for v in range(stage) if question.operations[v].name.startswith("add")]  # two of every block
    ends = [-1, *sums[1::2]]
    for apart in (1, 2, 4):
        mask = np.zeros(len(question), dtype=np.bool_)
        for block in range(0, len(ends) - 1, apart):
            mask[ends[block] + 1 : ends[block + 1]] = True
        name = f"every {apart} of {len(ends) - 1} blocks"
        archive = Archive()
        offer(kernel, stage, mask, archive, name)
        them = archive.least
        line = f"{name}: peak {100 * them.peak / baseline:.1f} %, extra {percent(question, them.cost):.3f} %"
        print(line, "ours and bound:", ours_at(question, them.peak))


def main() -> None:
    torch.manual_seed(0)
    for name, (module, x) in networks().items():
        if not sys.argv[1:] or name in sys.argv[1:]:
            compare(name, module, x)


main()
