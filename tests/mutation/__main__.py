"""python -m tests.mutation --count 600 --seed 1: draw mutants, run the tests that reach them, list what lives.

`--room NAME` takes one room, `--file PART` one file, `--again FILE` the survivors of a run kept by `--json FILE`.
Needs `pip install -e .[test,mutation]`; takes the tree as it is, and changes nothing in it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tests.mutation.coverage_map import Map, mapped
from tests.mutation.rooms import ROOMS, Room, files_of_tests
from tests.mutation.runner import QUIET, all_of, prepare, survives
from tests.mutation.sites import Mutant, again, code, inside_functions, sampled, sites

EQUIVALENT = Path(__file__).with_name("equivalent.txt")
FEWEST = 40  # of a room that has so many
DIED, SURVIVED = 10, 11  # exit codes
KILLED = {"killed", "timeout"}
COPIED = ("graphmem", "tests", "models", "pyproject.toml")
SLOWEST = 2.0  # seconds of CPU; slower tests are not asked


def main() -> int:
    """Draw, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--room", choices=[room.name for room in ROOMS])
    parser.add_argument("--file", default="", help="only files whose path has this in it")
    parser.add_argument("--limit", type=float, default=3, help="seconds of CPU that the tests of a mutant may take")
    parser.add_argument("--again", type=Path, help="the survivors of an earlier run, from its --json")
    parser.add_argument("--json", type=Path, help="write every mutant with its fate there")
    parser.add_argument("--maps", type=Path, default=Path(tempfile.gettempdir()) / "graphmem-mutation")
    asked = parser.parse_args()
    here = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory() as scratch:
        root = copied(here, Path(scratch) / "copy")
        os.chdir(root)
        sys.path.insert(0, str(root))
        prepare()
        rooms = [room for room in ROOMS if asked.room in {None, room.name}]
        reached = whole_map(root, rooms, asked.processes, asked.maps)
        drawn = _survivors(root, asked.again, rooms) if asked.again else _all_drawn(root, rooms, asked)
        random.Random(asked.seed).shuffle(drawn)  # so that a run broken off says something of every room
        found: list[tuple[Room, Mutant, str]] = []
        for place, fate in fates(root, [m for _, m in drawn], reached, asked.processes, asked.limit):
            found.append((*drawn[place], fate))
            if len(found) % 25 == 0 or len(found) == len(drawn):
                print(f"{len(found)} of {len(drawn)}", flush=True)
                keep(found, asked.json)
    report(found)
    return 0


def copied(here: Path, root: Path) -> Path:
    """A copy of the tree: what is changed meanwhile changes no figure; nothing lies beside it."""
    for name in COPIED:
        if (here / name).is_dir():
            shutil.copytree(here / name, root / name, ignore=shutil.ignore_patterns("golden"))
        else:
            shutil.copy(here / name, root / name)
    return root


def whole_map(root: Path, rooms: list[Room], processes: int, kept: Path) -> Map:
    """What each test reaches: asked once for each state of the package and of a test file."""
    files = [file for room in ROOMS for file in room.files(root)]
    package = _digest(sorted((root / "graphmem").rglob("*.py")))
    wanted = files_of_tests(root, rooms)
    places = {test: kept / f"{package}-{_digest([root / test])}.json" for test in wanted}
    kept.mkdir(exist_ok=True, parents=True)

    def work(test: str) -> int:
        mapped(test, files, [a for a in QUIET if a != "-x"], SLOWEST).write(places[test])
        return 0

    todo = [test for test in wanted if not places[test].exists()]
    for index, status in all_of(((partial(work, test), 600) for test in todo), processes):
        print(f"mapped {todo[index]}" if status == 0 else f"{todo[index]} could not be mapped", flush=True)
    whole = Map()
    for place in places.values():
        if place.exists():
            whole.update(Map.read(place))
    return whole


def _digest(paths: list[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def _survivors(root: Path, kept: Path, rooms: list[Room]) -> list[tuple[Room, Mutant]]:
    by_name = {room.name: room for room in rooms}
    rows = [row for row in json.loads(kept.read_text()) if row["fate"] not in KILLED and row["room"] in by_name]
    old = [
        (by_name[row["room"]], Mutant(**{k: v for k, v in row.items() if k not in {"room", "fate"}})) for row in rows
    ]
    return [(room, found) for room, m in old if (found := again(root, m)) is not None]


def _all_drawn(root: Path, rooms: list[Room], asked: argparse.Namespace) -> list[tuple[Room, Mutant]]:
    return [(room, m) for room in rooms for m in _drawn(root, room, rooms, asked)]


def _drawn(root: Path, room: Room, rooms: list[Room], asked: argparse.Namespace) -> list[Mutant]:
    """The room's share of the count by its number of sites, or FEWEST."""
    sizes = {r: sum(len(sites((root / f).read_text())) for f in r.files(root)) for r in rooms}
    share = max(FEWEST, -(-asked.count * sizes[room] // sum(sizes.values())))
    return sampled(root, [f for f in room.files(root) if asked.file in f], min(share, asked.count), asked.seed)


def fates(root: Path, mutants: list[Mutant], reached: Map, processes: int, limit: float) -> Iterator[tuple[int, str]]:
    """(place, fate) of each as it is known: killed, timeout, survived, or unreached where no test runs the line."""
    todo = []
    for place, m in enumerate(mutants):
        is_imported = m.line not in inside_functions((root / m.file).read_text())
        tests = reached.asked(m.file, m.line, is_imported, limit)
        if tests:
            todo.append((place, m, tests))
        else:
            yield place, "unreached"

    def work(m: Mutant, tests: list[str]) -> int:
        changed = code((root / m.file).read_text(), m.operator, m.occurrence)
        assert changed is not None
        return SURVIVED if survives(root, m.file, changed, tests) else DIED

    works = [(partial(work, m, tests), 20 + 3 * sum(map(reached.seconds.__getitem__, tests))) for _, m, tests in todo]
    for at, status in all_of(works, processes):
        yield todo[at][0], {DIED: "killed", SURVIVED: "survived", None: "timeout"}.get(status, f"broken {status}")


def keep(found: list[tuple[Room, Mutant, str]], path: Path | None) -> None:
    """Write what is known so far, for --again."""
    if path:
        path.write_text(json.dumps([{"room": r.name, "fate": fate, **asdict(m)} for r, m, fate in found], indent=1))


def report(found: list[tuple[Room, Mutant, str]]) -> None:
    """A line a room, and the survivors."""
    argued = EQUIVALENT.read_text() if EQUIVALENT.exists() else ""
    for name, own in {"all": found, **{room.name: [row for row in found if row[0] == room] for room in ROOMS}}.items():
        if own:
            dead = sum(fate in KILLED for _, _, fate in own)
            print(f"{name:24} {dead:4} of {len(own):4} killed, {dead / len(own):.1%}")
    for _, m, fate in sorted(found, key=lambda row: (row[1].file, row[1].line, row[1].column)):
        if fate not in KILLED:
            mark = "equivalent" if m.key in argued else fate
            print(f"{mark}: {m.file}:{m.line}:{m.column} {m.operator}\n    - {m.before}\n    + {m.after}")


if __name__ == "__main__":
    raise SystemExit(main())
