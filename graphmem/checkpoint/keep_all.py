"""Keep-all: compute everything once in the base order; and the node floor, which proves a budget impossible."""

from __future__ import annotations

from graphmem.checkpoint.evaluate import judged
from graphmem.ir.recompute import Judged, Recompute


def keep_all(question: Recompute) -> Judged:
    """The course that computes nothing twice, in the base order: the peak that ratios refer to."""
    return judged(question, range(len(question)), "keep-all")


def node_floor(question: Recompute) -> tuple[int, int]:
    """(bytes, operation) of the operation that needs the most bytes for itself: its value and all that it reads.

    No course can stay below, whatever it computes again and in whatever order.
    """
    operations, reads = question.operations, question.reads
    needs = [operations[v].nbytes + sum(operations[u].nbytes for u in reads[v]) for v in range(len(question))]
    most = max(range(len(question)), key=lambda v: (needs[v], -v), default=0)
    return question.resident + (needs[most] if needs else 0), most
