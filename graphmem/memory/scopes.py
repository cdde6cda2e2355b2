"""Graph, lifetimes -> Scopes: the module tree of the source program, with the bytes that each module accounts for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphmem.ir.graph import Node
from graphmem.ir.memory import Lifetimes
from graphmem.ir.profile import Block, Scope
from graphmem.ir.schedule import Schedule


class Tree:
    """Scopes as they are met, each with the sums of its own steps only."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {"": 0}
        self.parents = [-1]
        self.modules = [""]
        self.sums = [[0, 0, 0, 0, 0]]  # steps, weights, made, at peak, saved

    def row(self, path: str, module: str = "") -> int:
        """The row of a dotted path, its ancestors before it."""
        if path not in self.rows:
            parent = self.row(path.rpartition(".")[0])
            self.rows[path] = len(self.rows)
            self.parents.append(parent)
            self.modules.append("")
            self.sums.append([0, 0, 0, 0, 0])
        found = self.rows[path]
        self.modules[found] = self.modules[found] or module
        return found

    def scopes(self) -> tuple[Scope, ...]:
        """Every scope with the sums of all that lies inside; a parent always comes before its children."""
        sums = [list(own) for own in self.sums]
        for row in range(len(sums) - 1, 0, -1):
            sums[self.parents[row]] = [a + b for a, b in zip(sums[self.parents[row]], sums[row], strict=True)]
        return tuple(Scope(path, self.parents[row], self.modules[row], *sums[row]) for path, row in self.rows.items())


def scopes(
    nodes: Sequence[Node],
    schedule: Schedule,
    alive: Lifetimes,
    peak_step: int,
    weights: Mapping[str, int],
    cuts: Sequence[Block],
) -> tuple[tuple[Scope, ...], tuple[int, ...]]:
    """The scope tree and the scope of every step; without module names in the file the blocks take their place.

    `weights` are the bytes of each weight, by tensor name; a weight belongs to the first step that reads it.
    """
    paths = [(node.origin.scope, node.origin.module) for node in nodes]
    if not any(path for path, _ in paths):
        paths = [(f"steps {b.start}–{b.stop - 1}", "") for b in cuts for _ in range(b.start, b.stop)]
    tree, seen = Tree(), set[str]()
    rows = tuple(tree.row(path, module) for path, module in paths)
    for row, node, step in zip(rows, nodes, schedule.steps, strict=True):
        own = tree.sums[row]
        new = [name for name in node.reads if name in weights and name not in seen]
        seen.update(new)
        own[0] += 1
        own[1] += sum(weights[name] for name in new)
        own[2] += sum(schedule.buffers[b].nbytes for b in step.writes)
        own[3] += sum(schedule.buffers[b].nbytes for b in step.writes if alive.start[b] <= peak_step < alive.stop[b])
    return tree.scopes(), rows
