"""What can go wrong, as one tree.

GraphmemError               anything that graphmem raises on purpose
+-- InputError              the caller's file or options are at fault: one line, exit code 2
|   +-- ModelError          the model file is unreadable or not a valid graph
|   +-- OptionError         an option contradicts the model or itself
+-- MisfitError             a call has another form than its rule was written for; caught where the rule was asked
+-- BrokenInvariantError    our own bug: a plan that overlaps, a schedule that reads before it writes
"""

from __future__ import annotations

from contextvars import ContextVar

from graphmem.ir.quoting import sentence


class GraphmemError(Exception):
    """Root of everything that graphmem raises on purpose."""


class InputError(GraphmemError):
    """The caller's file or options are at fault; the message says what, where and what to do next.

    It is one line of printable text, and not a long one, whatever names it quotes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(sentence(message))


class ModelError(InputError):
    """The model file is unreadable or not a valid graph."""


class OptionError(InputError):
    """An option contradicts the model or itself."""


class BrokenInvariantError(GraphmemError):
    """A promise that graphmem makes to itself does not hold: please report it."""


class MisfitError(GraphmemError):
    """A call has another form than its rule was written for: what the rule cannot say about it."""


STRICT: ContextVar[bool] = ContextVar("strict", default=False)  # set by the tests: a slip of ours is no misfit
SLIPS = (  # what a rule trips over unforeseen
    ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, StopIteration, TypeError, ValueError,
)  # fmt: skip


def misfits(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """What to catch around a rule: for users its slips too, so that one odd call does not cost the whole answer."""
    return (MisfitError, *more) if STRICT.get() else (MisfitError, *SLIPS, *more)
