"""Program -> the Python functions that ran it, statement by statement, as the exporter's tracebacks show them.

The dynamo exporter writes the running functions of each call, outermost first, with the text of the running line. Calls
in a row that show the same functions at the same lines ran in one invocation of each; another module, another line of
the caller or a return to the first line begins a new one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from graphmem.ir.graph import Frame
from graphmem.ir.program import Call

_TARGET = r"[A-Za-z_]\w*"
_ASSIGNED = re.compile(rf"^({_TARGET}(?:\s*,\s*{_TARGET})*)\s*(?::[^=()\[\]]+)?(?:[-+*/@]|//)?=(?!=)")
_COLLECTED = re.compile(rf"^({_TARGET})(?:\.(?:append|extend|insert|add|update)\(|\[.*?\]\s*=(?!=))")
_KEYWORD = re.compile(rf"^{_TARGET}=[^=\s]")  # an argument of a call over several lines: an assignment has spaces
_WORD = re.compile(r"(?<![\w.\"'])([A-Za-z_]\w*)(?!\w)(?!\s*\()(?!\.pop\()(?!\s*=(?!=))")
_NO_LOCALS = frozenset(
    "self torch nn F math np if else for in not and or is None True False return lambda int float str".split()  # noqa: SIM905
)
_DIGITS = re.compile(r"\d+")
_AUGMENTED = re.compile(r"^\w+\s*(?:[-+*/@%&|^]|//|\*\*|<<|>>)=")  # reads what it binds
_REPLACED = re.compile(rf"^({_TARGET}\[.*?\])\s*=(.*)")


@dataclass(slots=True)
class Statement:
    """A line of a function and the calls that ran under it, first and last."""

    line: int
    text: str
    start: int
    stop: int
    is_argument: bool = False  # of a call that begins on a line before, and runs after it

    @property
    def names(self) -> tuple[str, ...]:
        """The local names that the line binds when it has run."""
        found = _ASSIGNED.match(self.text) if not self.is_argument else None
        return tuple(name.strip() for name in found[1].split(",")) if found else ()

    @property
    def collection(self) -> str:
        """The local name of a list or mapping that the line adds to, or ""."""
        found = _COLLECTED.match(self.text)
        return found[1] if found else ""

    @property
    def replaces(self) -> bool:
        """True when an item of the collection is written over with what is computed from it."""
        found = _REPLACED.match(self.text)
        return found is not None and found[1] in found[2]

    @property
    def reads(self) -> tuple[str, ...]:
        """The local names that the line may read."""
        found = _ASSIGNED.match(self.text)
        right = self.text if found is None or _AUGMENTED.match(self.text) else self.text[found.end() :]
        return tuple(dict.fromkeys(word for word in _WORD.findall(right) if word not in _NO_LOCALS))


@dataclass(slots=True)
class Invocation:
    """One run of a function; the positions of its first and last call, and what the first one was."""

    file: str
    function: str
    start: int
    stop: int
    first: Call
    statements: list[Statement] = field(default_factory=list)

    def is_at(self, frame: Frame) -> bool:
        """True when this function runs that line now."""
        return self.statements[-1].line == frame.line

    def begins_again(self, frame: Frame, call: Call) -> bool:
        """True when the call is the one that it began with, at a line that it has left since.

        A loop that begins the function runs that line again for another module.
        """
        is_first = call.target == self.first.target and call.origin.path == self.first.origin.path
        return is_first and frame.line == self.statements[0].line and not self.is_at(frame)

    def run(self, frame: Frame, position: int, is_again: bool = False) -> None:
        """One more call, under that line; `is_again` when a loop has come to the line once more."""
        self.stop = position
        if self.statements and self.is_at(frame) and not is_again:
            self.statements[-1].stop = position
        else:
            if self.statements and _KEYWORD.match(self.statements[-1].text):
                self.statements[-1].is_argument = frame.line < self.statements[-1].line and _is_open(frame.text)
            self.statements.append(Statement(frame.line, frame.text, position, position))


def invocations(calls: Sequence[Call]) -> list[Invocation]:
    """The function runs of these calls, in the order in which they began."""
    found: list[Invocation] = []
    running: list[Invocation] = []
    path: tuple[str, ...] = ()
    for position, call in enumerate(calls):
        frames = call.origin.frames
        if not frames or frames[0].file.startswith("<"):  # of generated code, which stands for a part of a function
            continue
        del running[_kept(running, call, path) :]
        deepest, is_next = len(running) - 1, _is_next(path, call.origin.path)
        path = call.origin.path
        for frame in frames[len(running) :]:
            running.append(Invocation(frame.file, frame.function, position, position, call))
            found.append(running[-1])
        for depth, (invocation, frame) in enumerate(zip(running, frames, strict=True)):
            invocation.run(frame, position, is_next and depth == deepest and " for " not in frame.text)
    return found


def _is_open(text: str) -> bool:
    """True when the statement goes on in the next line."""
    return text.count("(") > text.count(")")


def _is_next(before: Sequence[str], path: Sequence[str]) -> bool:
    """True when the module is another item of the list that the one before was in: layers.0, layers.1."""
    one, other = next(((a, b) for a, b in zip(before, path, strict=False) if a != b), ("", ""))
    return other.rpartition(".")[2].isdecimal() and _DIGITS.sub("#", one) == _DIGITS.sub("#", other)


def _kept(running: Sequence[Invocation], call: Call, before: tuple[str, ...]) -> int:
    """How many of the running functions, outermost first, go on with the next call."""
    frames = call.origin.frames
    limit = min(len(running), len(frames), _entered(frames, before, call.origin.path))
    for depth in range(limit):
        invocation, frame = running[depth], frames[depth]
        if (invocation.file, invocation.function) != (frame.file, frame.function):
            return depth
        if depth and invocation.begins_again(frame, call):
            return depth
        if not invocation.is_at(frame):
            return depth + 1
    return limit


def _entered(frames: Sequence[Frame], before: tuple[str, ...], path: tuple[str, ...]) -> int:
    """The depth at which the call is in another module than the one before: each module runs one forward."""
    forwards = [depth for depth, frame in enumerate(frames) if frame.function == "forward"]
    common = 0
    while common < min(len(path), len(before)) and path[common] == before[common]:
        common += 1
    if len(forwards) != len(path) + 1 or common == len(path):
        return len(frames)
    return forwards[common + 1]
