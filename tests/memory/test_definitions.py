"""Lifetimes, bands, blocks, scopes and live tensors of random schedules, against their definitions in plain loops."""

from __future__ import annotations

import random
from itertools import groupby, pairwise

import numpy as np
import pytest

from graphmem.ir.errors import ModelError
from graphmem.ir.graph import Graph, Node, Origin, Tensor
from graphmem.ir.memory import Lifetime, Lifetimes, Timeline
from graphmem.ir.profile import Block
from graphmem.ir.schedule import Buffer, Schedule, Step
from graphmem.ir.types import TensorType, UnknownType
from graphmem.memory.liveness import lifetimes, live_tensors, timeline
from graphmem.memory.profile import (
    GIVEN,
    KINDS,
    Tree,
    bands_by_kind,
    bands_by_use,
    blocks,
    schedule_profile,
    scopes,
)
from tests.memory.schedules import SCHEDULES, live_by_hand, steps_alive

of_each = pytest.mark.parametrize("schedule", SCHEDULES, ids=map(str, range(len(SCHEDULES))))


@of_each
def test_lifetimes_and_timeline_are_those_of_the_definition(schedule: Schedule) -> None:
    alive = lifetimes(schedule)
    for life, own in zip(alive, steps_alive(schedule), strict=True):
        assert set(range(life.start, life.stop)) == own
        assert life.start <= life.stop
    assert alive.buffers == tuple(buffer.name for buffer in schedule.buffers)
    live = timeline(alive, schedule)
    assert live.live.tolist() == live_by_hand(schedule)
    assert live.peak == max(live_by_hand(schedule))
    assert live.peak_step == live_by_hand(schedule).index(live.peak)


@pytest.mark.parametrize(("sizes", "workspace"), [((2**62, 2**62), 0), ((2**62, 2**62 - 1), 1), ((2**63 - 5,), 5)])
def test_two_to_the_63_bytes_are_refused_and_one_less_is_counted(sizes: tuple[int, ...], workspace: int) -> None:
    def run(less: int) -> Timeline:
        rows = tuple(Buffer(str(i), size - less * (i == 0), "activation", ()) for i, size in enumerate(sizes))
        steps = (
            Step("a", "Add", "forward", (), tuple(range(len(rows))), workspace),
            Step("b", "Add", "f", (), (), workspace // 2),
        )
        schedule = Schedule(steps, rows, (), ())
        return timeline(lifetimes(schedule), schedule)

    assert run(1).peak == 2**63 - 1
    with pytest.raises(ModelError, match="2\\^63"):
        run(0)


def test_a_schedule_without_steps_holds_nothing() -> None:
    none = Schedule((), (Buffer("x", 4, "input", ("x",)),), (0,), ())
    assert [(life.start, life.stop) for life in lifetimes(none)] == [(0, 0)]
    assert timeline(lifetimes(none), none).peak == 0


@of_each
def test_bands_by_use_say_what_each_byte_is_there_for(schedule: Schedule) -> None:
    alive = lifetimes(schedule)
    found = {band.kind: band.live.tolist() for band in bands_by_use(schedule, alive, timeline(alive, schedule))}
    by_hand: dict[str, list[int]] = {kind: [] for kind in ("inputs", "held", "read", "made", "workspace")}
    for s, step in enumerate(schedule.steps):
        sums = dict.fromkeys(by_hand, 0) | {"workspace": step.workspace}
        for row, own in enumerate(steps_alive(schedule)):
            if s in own:
                is_input = schedule.buffers[row].kind == "input"
                use = "made" if row in step.writes else "read" if row in step.reads else "held"
                sums["inputs" if is_input else use] += schedule.buffers[row].nbytes
        for kind, nbytes in sums.items():
            by_hand[kind].append(nbytes)
    assert found == {kind: column for kind, column in by_hand.items() if any(column)}
    assert list(found) == [kind for kind in by_hand if kind in found]


@pytest.mark.parametrize("is_finer", [False, True])
@pytest.mark.parametrize("order", [["input", "output", "gradient"], ["gradient", "input"], []])
def test_bands_by_kind_come_in_the_order_given_others_by_name_workspace_last(order: list[str], is_finer: bool) -> None:
    for schedule in SCHEDULES:
        alive = lifetimes(schedule)
        kinds = [b.kind + "s" * (is_finer and i % 2) for i, b in enumerate(schedule.buffers)]
        found = bands_by_kind(schedule, alive, order, kinds if is_finer else None)
        others = sorted(set(kinds) - set(order))
        by_hand = {}
        for kind in [*order, *others]:
            rows = [row for row, own in enumerate(kinds) if own == kind]
            alive_in = steps_alive(schedule)
            column = [
                sum(schedule.buffers[r].nbytes for r in rows if s in alive_in[r]) for s in range(len(schedule.steps))
            ]
            by_hand[kind] = column
        by_hand["workspace"] = [step.workspace for step in schedule.steps]
        expected = [(kind, column) for kind, column in by_hand.items() if any(column)]
        assert [(band.kind, band.live.tolist()) for band in found] == expected


@pytest.mark.parametrize("seed", range(30))
def test_blocks_start_where_at_most_one_buffer_that_counts_crosses(seed: int) -> None:
    dice = random.Random(seed)
    steps = dice.randint(0, 12)
    sizes = dice.choices([1, 2, 3, 100, 199, 200, 201], k=dice.randint(0, 12))
    rows = [(nbytes, dice.randint(0, 11), dice.randint(0, 12)) for nbytes in sizes]
    alive = Lifetimes.of(
        [Lifetime(str(i), n, min(a, b, steps), min(max(a, b), steps)) for i, (n, a, b) in enumerate(rows)]
    )
    live = [sum(life.nbytes for life in alive if life.start <= s < life.stop) for s in range(steps)]
    found = blocks(alive, Timeline(np.array(live, dtype=np.int64)))
    if not steps:
        assert found == ()
        return
    counting = [
        life
        for life in alive
        if 2 * (life.stop - life.start) <= max(steps, 4) and 100 * life.nbytes > max(live) and life.stop > life.start
    ]
    crossing = [sum(life.start < s < life.stop for life in counting) for s in range(steps)]
    cuts = [s for s in range(1, steps) if crossing[s] <= 1]
    long = [cut for cut, end in zip(cuts, [*cuts, steps][1:], strict=True) if end - cut > 1]
    edges = [0, *(long or cuts), steps]
    assert found == tuple(Block(a, b, max(live[a:b])) for a, b in pairwise(edges))


@of_each
def test_scopes_sum_what_their_steps_make_and_first_read(schedule: Schedule) -> None:
    count = len(schedule.steps)
    dice = random.Random(str(schedule))
    names = dice.choices(dice.choice([["", "a", "a.b", "a.b.c", "d"], [""]]), k=count)
    weights = {"v": 7, "w": 11}
    read = [tuple(dice.sample(["v", "w", "x"], dice.randint(0, 2))) for _ in names]
    nodes = [
        Node(f"n{i}", "Add", "", reads, (), origin=Origin(scope=path, module=path.upper()))
        for i, (path, reads) in enumerate(zip(names, read, strict=True))
    ]
    alive = lifetimes(schedule)
    live = timeline(alive, schedule)
    cuts = blocks(alive, live)
    tree, rows = scopes(nodes, schedule, alive, live.peak_step, weights, cuts)
    if not any(names):
        names = [f"steps {b.start}–{b.stop - 1}" for b in cuts for _ in range(b.start, b.stop)]
    assert [tree[row].path for row in rows] == names
    first = {w: next((s for s, reads in enumerate(read) if w in reads), None) for w in weights}
    for number, scope in enumerate(tree):
        inside = [s for s, name in enumerate(names) if not scope.path or f"{name}.".startswith(scope.path + ".")]
        made = [row for s in inside for row in schedule.steps[s].writes]
        assert scope.steps == len(inside)
        assert scope.weights == sum(nbytes for w, nbytes in weights.items() if first[w] in inside)
        assert scope.made == sum(schedule.buffers[row].nbytes for row in made)
        peak = live.peak_step
        assert scope.at_peak == sum(schedule.buffers[r].nbytes for r in made if peak in steps_alive(schedule)[r])
        assert scope.saved == 0
        assert scope.parent < number
        assert scope.path == "" or tree[scope.parent].path == scope.path.rpartition(".")[0]
        assert scope.module == ("" if scope.path.startswith("steps") or scope.path not in names else scope.path.upper())


def test_a_tree_keeps_the_first_module_name_and_adds_children_to_parents() -> None:
    tree = Tree()
    deep, side = tree.row("a.b.c", "Linear"), tree.row("a.d")
    assert tree.row("a.b.c", "Conv") == deep
    tree.sums[deep][:] = [1, 2, 3, 4, 5]
    tree.sums[side][:] = [10, 20, 30, 40, 50]
    found = {s.path: (s.parent, s.module, s.steps, s.weights, s.made, s.at_peak, s.saved) for s in tree.scopes()}
    assert found == {
        "": (-1, "", 11, 22, 33, 44, 55),
        "a": (0, "", 11, 22, 33, 44, 55),
        "a.b": (1, "", 1, 2, 3, 4, 5),
        "a.b.c": (2, "Linear", 1, 2, 3, 4, 5),
        "a.d": (1, "", 10, 20, 30, 40, 50),
    }


@of_each
def test_a_bare_schedule_shows_a_block_and_a_scope_for_each_phase(schedule: Schedule) -> None:
    alive = lifetimes(schedule)
    live = timeline(alive, schedule)
    profile = schedule_profile("training", schedule, alive, live)
    runs = [
        (phase, [s for s, _ in group])
        for phase, group in groupby(enumerate(s.phase for s in schedule.steps), lambda p: p[1])
    ]
    by_hand = live_by_hand(schedule)
    assert profile.name == "training"
    assert profile.blocks == tuple(Block(s[0], s[-1] + 1, max(by_hand[s[0] : s[-1] + 1])) for _, s in runs)
    assert [scope.path for scope in profile.scopes] == ["", *(phase for phase, _ in runs)]
    assert [scope.parent for scope in profile.scopes] == [-1, *(0 for _ in runs)]
    assert profile.step_scopes == tuple(n for n, (_, own) in enumerate(runs, 1) for _ in own)
    everything = list(range(len(by_hand)))
    for scope, inside in zip(profile.scopes, [everything, *(own for _, own in runs)], strict=True):
        made = [row for s in inside for row in schedule.steps[s].writes]
        at_peak = [row for row in made if live.peak_step in steps_alive(schedule)[row]]
        assert (scope.steps, scope.weights, scope.module) == (len(inside), 0, "")
        assert scope.made == sum(schedule.buffers[row].nbytes for row in made)
        assert scope.at_peak == sum(schedule.buffers[row].nbytes for row in at_peak)
    assert [band.kind for band in profile.bands] == [band.kind for band in bands_by_kind(schedule, alive, KINDS)]
    for row, (tensor, own) in enumerate(zip(profile.tensors, steps_alive(schedule), strict=True)):
        buffer = schedule.buffers[row]
        assert (tensor.tensor, tensor.nbytes, tensor.kind) == (buffer.name, buffer.nbytes, buffer.kind)
        assert tensor.type == UnknownType()
        if own:
            assert (tensor.first_step, tensor.last_step) == (min(own), max(own))
        is_made = bool(own) and buffer.kind not in GIVEN
        assert tensor.producer == (schedule.steps[min(own)].operator if is_made else "")


def test_what_stands_throughout_is_nobodys_product() -> None:
    assert {"parameter", "optimizer_state", "buffer", "constant", "input"} == GIVEN


@of_each
def test_live_tensors_name_the_node_that_made_them(schedule: Schedule) -> None:
    alive = lifetimes(schedule)
    nodes = [Node(s.name, s.operator, "", (), (), origin=Origin(scope=s.name)) for s in schedule.steps]
    type_ = TensorType("float32", (3,))
    graph = Graph("g", tuple(nodes), {b.name: Tensor(b.name, "activation", type_) for b in schedule.buffers}, (), ())
    found = live_tensors(graph, nodes, schedule, alive, range(len(alive)))
    for row, (tensor, own) in enumerate(zip(found, steps_alive(schedule), strict=True)):
        buffer = schedule.buffers[row]
        assert (tensor.tensor, tensor.nbytes, tensor.kind, tensor.type) == (
            buffer.name,
            buffer.nbytes,
            buffer.kind,
            type_,
        )
        is_made = bool(own) and buffer.kind != "input"
        assert (tensor.producer, tensor.origin.scope) == (
            (nodes[min(own)].op_type, nodes[min(own)].name) if is_made else ("", "")
        )
        if own:
            assert (tensor.first_step, tensor.last_step) == (min(own), max(own))
