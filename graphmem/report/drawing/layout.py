"""Boxes and arrows -> places, left to right: a small layered layout, so that a picture never lacks for a binary.

Ranks by longest path, long arrows split by a waypoint in every rank between, order within a rank by barycentres,
heights by averaging with the neighbours while keeping that order (Sugiyama, Tagawa and Toda 1981, the plain version).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MOST_BOXES = 200
SWEEPS = 12
GAP = 16.0  # between boxes of a rank


@dataclass(frozen=True, slots=True)
class Layout:
    """Centres of the boxes, and for every arrow the points that it passes, first and last on the boxes' edges."""

    width: float
    height: float
    centres: tuple[tuple[float, float], ...]
    routes: tuple[tuple[tuple[float, float], ...], ...]


class _Net:
    """Boxes and waypoints as numbered items, each in a rank; links join items of neighbouring ranks."""

    def __init__(self, sizes: Sequence[tuple[float, float]], arrows: Sequence[tuple[int, int]], label_height: float):
        ranks = _ranks(len(sizes), arrows)
        self.heights = [height for _, height in sizes]
        self.rank = ranks
        self.paths: list[list[int]] = []
        self.left: dict[int, list[int]] = defaultdict(list)
        self.right: dict[int, list[int]] = defaultdict(list)
        for source, target in arrows:
            path = [source]
            for rank in range(ranks[source] + 1, ranks[target]):
                path.append(len(self.heights))
                self.heights.append(label_height)
                self.rank.append(rank)
            path.append(target)
            for a, b in pairwise(path):
                self.right[a].append(b)
                self.left[b].append(a)
            self.paths.append(path)
        self.rows: list[list[int]] = [[] for _ in range(max(self.rank, default=-1) + 1)]
        for item, rank in enumerate(self.rank):
            self.rows[rank].append(item)
        self.y = [0.0] * len(self.heights)


def layout(
    sizes: Sequence[tuple[float, float]],
    arrows: Sequence[tuple[int, int]],
    label_width: Sequence[float],
    label_height: float = 24.0,
) -> Layout:
    """Places for boxes of these (width, height), joined by arrows (source, target) without a circle."""
    net = _Net(sizes, arrows, label_height)
    _order(net)
    _heights(net)
    left = _lefts(net, sizes, arrows, label_width)
    centres = tuple((left[net.rank[i]] + sizes[i][0] / 2, net.y[i]) for i in range(len(sizes)))
    routes = []
    for path in net.paths:
        source, target = path[0], path[-1]
        start = (centres[source][0] + sizes[source][0] / 2, net.y[source])
        end = (centres[target][0] - sizes[target][0] / 2, net.y[target])
        routes.append((start, *((left[net.rank[item]], net.y[item]) for item in path[1:-1]), end))
    bottom = max((net.y[i] + net.heights[i] / 2 for i in range(len(net.y))), default=0.0)
    right = max((x + sizes[i][0] / 2 for i, (x, _) in enumerate(centres)), default=0.0)
    return Layout(right, bottom, centres, tuple(routes))


def _ranks(count: int, arrows: Sequence[tuple[int, int]]) -> list[int]:
    """Longest path from any start, then as late as what follows allows wherever that lengthens no more arrows."""
    ends, waiting = defaultdict(list), [0] * count
    for source, target in arrows:
        ends[source].append(target)
        waiting[target] += 1
    ranks, ready = [0] * count, [item for item in range(count) if not waiting[item]]
    while ready:
        item = ready.pop()
        for target in ends[item]:
            ranks[target] = max(ranks[target], ranks[item] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    entering: dict[int, int] = defaultdict(int)
    for _, target in arrows:
        entering[target] += 1
    for item in sorted(range(count), key=lambda i: (-ranks[i], i)):
        if ends[item] and len(ends[item]) >= entering[item]:
            ranks[item] = min(ranks[target] for target in ends[item]) - 1
    return ranks


def _order(net: _Net) -> None:
    """Order each rank by the mean place of its neighbours, sweeping right and left."""
    place = {item: float(i) for row in net.rows for i, item in enumerate(row)}
    for sweep in range(SWEEPS):
        rightward = sweep % 2 == 0
        neighbours = net.left if rightward else net.right
        for row in net.rows if rightward else reversed(net.rows):
            means = {i: _mean([place[n] for n in neighbours[i]], place[i]) for i in row}
            row.sort(key=lambda item: (means[item], place[item], item))
            place.update((item, float(i)) for i, item in enumerate(row))


def _heights(net: _Net) -> None:
    """Give every item a height near its neighbours', ranks keeping their order and gaps."""
    for row in net.rows:
        _settle(net, row, [0.0] * len(row))
    for sweep in range(SWEEPS):
        rightward = sweep % 2 == 0
        neighbours = net.left if rightward else net.right
        for row in net.rows if rightward else reversed(net.rows):
            _settle(net, row, [_mean([net.y[n] for n in neighbours[i]], net.y[i]) for i in row])
    top = min((net.y[i] - net.heights[i] / 2 for i in range(len(net.y))), default=0.0)
    net.y = [y - top for y in net.y]


def _settle(net: _Net, row: list[int], wanted: list[float]) -> None:
    """The heights nearest to those wanted (least squares) that keep the order and the gaps: pool adjacent violators."""
    offset = 0.0
    offsets: list[float] = []
    for position, item in enumerate(row):
        if position:
            offset += (net.heights[row[position - 1]] + net.heights[item]) / 2 + GAP
        offsets.append(offset)
    pools: list[list[float]] = []  # [sum, count]
    for want, base in zip(wanted, offsets, strict=True):
        pools.append([want - base, 1.0])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    level = [total / count for total, count in pools for _ in range(int(count))]
    for item, base, height in zip(row, offsets, level, strict=True):
        net.y[item] = height + base


def _lefts(
    net: _Net, sizes: Sequence[tuple[float, float]], arrows: Sequence[tuple[int, int]], label_width: Sequence[float]
) -> list[float]:
    """Left edge of every rank: each as wide as its widest box, the gap after it as wide as its widest label."""
    widths, gaps = [0.0] * len(net.rows), [30.0] * len(net.rows)
    for item, (width, _) in enumerate(sizes):
        widths[net.rank[item]] = max(widths[net.rank[item]], width)
    for (source, _), width in zip(arrows, label_width, strict=True):
        gaps[net.rank[source]] = max(gaps[net.rank[source]], width + 26)
    lefts = [0.0]
    for width, gap in zip(widths, gaps, strict=True):
        lefts.append(lefts[-1] + width + gap)
    return lefts


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
