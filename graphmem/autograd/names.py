"""Runs of Python functions -> the call after which the last local name that holds a value is bound again, or goes.

What binds a name is a line that makes something. Other bindings leave no call behind (`residual = x`, `states += (x,)`,
`x = outputs[0]`, `total = None`), and are concluded from what the lines after them read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from graphmem.autograd.frames import Invocation, Statement
from graphmem.ir.program import Program
from graphmem.ir.types import TensorType


def bound(program: Program, runs: Iterable[Invocation], last: Mapping[str, int]) -> dict[str, int]:
    """Value -> the call after which the last name that holds it is bound again, or goes with its function."""
    types = {name: type_ for call in program.calls for name, type_ in zip(call.outputs, call.types, strict=False)}
    found: dict[str, int] = {}
    for run in runs:
        if not run.function.startswith("<"):  # the values of a comprehension belong to the statement around it
            _Locals(program, run, last, types, found).follow()
    return found


class _Locals:
    """The local names of one run of a function, statement by statement."""

    def __init__(
        self, program: Program, run: Invocation, last: Mapping[str, int], types: Mapping[str, TensorType],
        found: dict[str, int],
    ) -> None:  # fmt: skip
        self.program, self.run, self.last, self.types, self.found = program, run, last, types, found
        self.held: dict[str, list[str]] = {}
        self.aliases: dict[tuple[str, ...], list[str]] = {}
        self.since: dict[str, int] = {}  # value -> the statement that bound it, by its first call

    def follow(self) -> None:
        """Extend the lives of values by those of their names."""
        before = self.run.start
        for statement in self.run.statements:
            read = self._read(statement)
            self._unbind(statement, read, before)
            self._alias(statement, read)
            self._bind(statement, read)
            before = statement.stop
        for values in (*self.held.values(), *self.aliases.values()):
            self._extend(values, self.run.stop)

    def _read(self, statement: Statement) -> list[str]:
        """What the statement reads and has not made itself."""
        calls = self.program.calls[statement.start : statement.stop + 1]
        made = {name for call in calls for name in call.outputs}
        return [name for name in dict.fromkeys(n for call in calls for n in call.reads) if name not in made]

    def _unexplained(self, statement: Statement, read: list[str]) -> list[str]:
        """Those of the read values that no name in the line is known to hold."""
        known = {value for name in statement.reads for value in self.held.get(name, ())}
        return [value for value in read if value in self.last and value not in known]

    def _unbind(self, statement: Statement, read: list[str], before: int) -> None:
        """Let names go that the line reads, where what it reads is not what they held.

        A name that the line compares with None holds nothing when its value is not read; one in whose place another
        value of the same shape is read has been bound to that since.
        """
        others = {self.types[v].shape for v in self._unexplained(statement, read) if v in self.types}
        for name in statement.reads:
            values = self.held.get(name, [])
            if not values or not set(values).isdisjoint(read):
                continue
            is_none = f"{name} is None" in statement.text or f"{name} is not None" in statement.text
            if is_none or all(v in self.types and self.types[v].shape in others for v in values):
                self._extend(self.held.pop(name), before)

    def _alias(self, statement: Statement, read: list[str]) -> None:
        """Find the name under which a statement reads values that its other names do not hold; it holds them now."""
        values = self._unexplained(statement, read)
        names = tuple(name for name in statement.reads if name not in self.held)
        if not values or not names:
            return
        before = self.aliases.get(names, [])
        self.aliases[names] = list(dict.fromkeys([*before, *values])) if set(before) & set(values) else values

    def _bind(self, statement: Statement, read: list[str]) -> None:
        """Give the names that the line binds what it made."""
        made = self._bindings(statement)
        for name in statement.names:
            self._extend(self.held.pop(name, []), statement.stop)
        if statement.replaces:
            self._replace(statement.collection, read, statement.stop)
        for name, values in made.items():
            self.held.setdefault(name, []).extend(values)
            self.since.update((value, statement.start) for value in values)

    def _replace(self, collection: str, read: list[str], stop: int) -> None:
        """Take the item that the line writes over out of its collection: of those that it reads, the oldest.

        A younger one is an item that was written just before (`states[n] = cell(states[n - 1][0], states[n])`).
        """
        items = self.held.get(collection, [])
        oldest = min((self.since.get(v, 0) for v in items if v in read), default=0)
        gone = [v for v in items if v in read and self.since.get(v, 0) == oldest]
        self.held[collection] = [v for v in items if v not in gone]
        self._extend(gone, stop)

    def _bindings(self, statement: Statement) -> dict[str, list[str]]:
        """Name -> the values that the statement leaves under it: what it made last, and what is read after it."""
        if not statement.names and not statement.collection:
            return {}
        results = self.program.calls[statement.stop].outputs
        left = self._left(statement)
        if statement.collection:
            return {statement.collection: left}
        names = statement.names
        values = list(results) if set(left) <= set(results) else left
        if len(names) == len(values):
            return {name: [value] for name, value in zip(names, values, strict=True)}
        return {name: list(left) for name in names}

    def _left(self, statement: Statement) -> list[str]:
        """What outlives the statement, in this or in another round of a loop: the last state of all is read no more."""
        length = statement.stop - statement.start
        rounds = [s for s in self.run.statements if s.line == statement.line and s.stop - s.start == length]
        calls = self.program.calls
        found = []
        for offset in range(length + 1):
            for i, value in enumerate(calls[statement.start + offset].outputs):
                others = [(s, calls[s.start + offset].outputs[i : i + 1]) for s in rounds]
                if offset == length or any(self.last[v] > s.stop for s, values in others for v in values):
                    found.append(value)
        return found

    def _extend(self, values: Iterable[str], position: int) -> None:
        for value in values:
            self.found[value] = max(self.found.get(value, 0), position)
