"""What can go wrong, as one tree.

GraphmemError               anything that graphmem raises on purpose
+-- InputError              the caller's file or options are at fault: one line, exit code 2
|   +-- ModelError          the model file is unreadable or not a valid graph
|   +-- OptionError         an option contradicts the model or itself
+-- BrokenInvariantError    our own bug: a plan that overlaps, a schedule that reads before it writes
"""

from __future__ import annotations


class GraphmemError(Exception):
    """Root of everything that graphmem raises on purpose."""


class InputError(GraphmemError):
    """The caller's file or options are at fault; the message says what, where and what to do next.

    It is one line of printable text whatever names it quotes.
    """

    def __init__(self, message: str) -> None:
        line = " ".join(message.split())
        super().__init__("".join(c if c.isprintable() else "?" for c in line))


class ModelError(InputError):
    """The model file is unreadable or not a valid graph."""


class OptionError(InputError):
    """An option contradicts the model or itself."""


class BrokenInvariantError(GraphmemError):
    """A promise that graphmem makes to itself does not hold: please report it."""
