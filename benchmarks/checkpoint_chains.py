"""Ten sequential networks: the chain's dynamic programming against every other strategy that needs no search.

    python benchmarks/checkpoint_chains.py

The layers stand here as their papers give them (LeNet-5 1998, AlexNet 2012 in one column, ZFNet 2013, VGG 2014, Network
in Network 2013, MobileNet 2017 and a plain multilayer perceptron), for 32 images each. A value is what a layer makes,
its cost the multiplications (element-wise layers: elements); a gradient costs twice as much.
"""

from __future__ import annotations

from time import process_time

from graphmem.checkpoint.archive import Archive
from graphmem.checkpoint.chain import Chain, cheapest_persistent, stages_of
from graphmem.checkpoint.kernel import Kernel
from graphmem.checkpoint.mincut import close_in, moment_of, propose
from graphmem.checkpoint.simple import keep_all, node_floor, propose_knapsack, propose_simple
from graphmem.ir.recompute import Operation, Recompute

BATCH = 32
Layer = tuple[
    str, int, int, int
]  # conv, depth-wise (dw) or linear (fc): channels, kernel, stride; else ("pool", 0, k, s)


def conv(*channels: int, kernel: int = 3) -> list[Layer]:
    return [layer for c in channels for layer in (("conv", c, kernel, 1), ("relu", 0, 0, 1))]


def vgg(*blocks: tuple[int, ...]) -> list[Layer]:
    body = [layer for block in blocks for layer in (*conv(*block), ("pool", 0, 2, 2))]
    return [*body, *HEAD]


def mobile(*pairs: tuple[int, int]) -> list[Layer]:
    norm = [("norm", 0, 0, 1), ("relu", 0, 0, 1)]
    body = [x for c, s in pairs for x in (("dw", 0, 3, s), *norm, ("conv", c, 1, 1), *norm)]
    return [("conv", 32, 3, 2), *norm, *body, ("pool", 0, 7, 7), ("fc", 1000, 0, 0)]


HEAD: list[Layer] = [("fc", 4096, 0, 0), ("relu", 0, 0, 1), ("fc", 4096, 0, 0), ("relu", 0, 0, 1), ("fc", 1000, 0, 0)]
POOL: list[Layer] = [("pool", 0, 3, 2)]
TAIL = [*conv(384, 384, 256), *POOL, *HEAD]
NETWORKS: dict[str, tuple[int, int, list[Layer]]] = {  # input size, input channels, layers
    "LeNet-5": (
        32,
        1,
        [
            *conv(6, kernel=5),
            ("pool", 0, 2, 2),
            *conv(16, kernel=5),
            ("pool", 0, 2, 2),
            ("fc", 120, 0, 0),
            ("fc", 84, 0, 0),
            ("fc", 10, 0, 0),
        ],
    ),
    "AlexNet": (227, 3, [("conv", 96, 11, 4), ("relu", 0, 0, 1), *POOL, *conv(256, kernel=5), *POOL, *TAIL]),
    "ZFNet": (
        224,
        3,
        [("conv", 96, 7, 2), ("relu", 0, 0, 1), *POOL, ("conv", 256, 5, 2), ("relu", 0, 0, 1), *POOL, *TAIL],
    ),
    "VGG-11": (224, 3, vgg((64,), (128,), (256, 256), (512, 512), (512, 512))),
    "VGG-13": (224, 3, vgg((64, 64), (128, 128), (256, 256), (512, 512), (512, 512))),
    "VGG-16": (224, 3, vgg((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)),
    "VGG-19": (224, 3, vgg((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)),
    "NiN": (
        32,
        3,
        [
            *conv(192, kernel=5),
            *conv(160, 96, kernel=1),
            *POOL,
            *conv(192, kernel=5),
            *conv(192, 192, kernel=1),
            *POOL,
            *conv(192),
            *conv(192, 10, kernel=1),
        ],
    ),
    "MobileNet": (
        224,
        3,
        mobile((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)),
    ),
    "MLP": (
        28,
        1,
        [layer for w in (2048, 1024, 1024, 512, 512, 256, 10) for layer in (("fc", w, 0, 0), ("relu", 0, 0, 1))],
    ),
}


def question(name: str) -> Recompute:
    side, channels, layers = NETWORKS[name]
    forward: list[tuple[int, int]] = []
    for kind, width, kernel, stride in layers:
        before = side * side * channels
        if kind == "fc":
            side, channels = 1, width
            cost = before * width
        else:
            side, channels = max(1, side // stride), width or channels
            within = before // max(1, side * side * stride * stride) if kind == "conv" else 1
            cost = side * side * channels * max(1, kernel * kernel) * max(1, within)
        forward.append((4 * BATCH * side * side * channels, BATCH * cost))
    operations = [Operation(f"f{i}", size, cost) for i, (size, cost) in enumerate(forward)]
    reads: list[tuple[int, ...]] = [(i - 1,) if i else () for i in range(len(forward))]
    for i in reversed(range(len(forward))):
        reads.append(tuple(sorted({*((i - 1,) if i else ()), i, len(reads) - 1})))
        operations.append(Operation(f"g{i}", forward[i][0], 2 * forward[i][1], backward=True))
    return Recompute(tuple(operations), tuple(reads), name=name)


def heuristics(asked: Recompute, budget: int) -> Archive:
    kernel, moment, archive = Kernel(asked), moment_of(asked), Archive()
    base = keep_all(asked)
    archive.offer(base.peak, base.cost, "keep-all", lambda: base.course.order)
    propose_simple(kernel, moment.stage, archive)
    hull = propose(kernel, moment, archive, float("inf"))
    close_in(kernel, moment, hull, archive, budget)
    propose_knapsack(kernel, moment.stage, archive)
    return archive


def main() -> None:
    print("network    nodes  budget %  chain %  seconds   best other %  strategy")
    for name in NETWORKS:
        asked = question(name)
        top, floor = keep_all(asked).peak, node_floor(asked)[0]
        for share in (0.75, 0.5, 0.25):
            budget = floor + int((top - floor) * share)
            started = process_time()
            order = cheapest_persistent(asked, budget)
            seconds = process_time() - started
            other = heuristics(asked, budget).within(budget)
            ours = sum(asked.operations[v].cost for v in order) if order else None
            shown = [
                f"{100 * (c / asked.total_cost - 1):9.3f}" if c else f"{'none':>9}"
                for c in (ours, other and other.cost)
            ]
            verdict = "" if ours and (other is None or ours <= other.cost) else "  WORSE" if other else ""
            line = f"{name:10} {len(asked):5} {100 * budget / top:9.1f}{shown[0]} {seconds:8.2f} {shown[1]:>14}"
            print(line, f" {other.strategy if other else ''}{verdict}")
    for length in (50, 128, 250, 500):
        asked = chain_of(length)
        started = process_time()
        found = next(Chain(asked, length, keep_all(asked).peak // 2).orders(), None)
        print(f"{2 * length} nodes: {process_time() - started:.1f} processor seconds, found {found is not None}")


def chain_of(length: int) -> Recompute:
    """Of `length` values of pseudorandom sizes and costs."""
    import random

    rng = random.Random(length)
    operations = [Operation(f"f{i}", rng.randint(1, 1000), rng.randint(1, 1000)) for i in range(length)]
    operations += [
        Operation(f"g{i}", operations[i].nbytes, 2 * operations[i].cost, backward=True) for i in reversed(range(length))
    ]
    reads = [(i - 1,) if i else () for i in range(length)]
    for i in reversed(range(length)):
        reads.append(tuple(sorted({*((i - 1,) if i else ()), i, len(reads) - 1})))
    asked = Recompute(tuple(operations), tuple(reads))
    assert stages_of(asked) == length
    return asked


main()
