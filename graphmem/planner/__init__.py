"""Lifetimes -> Plan: buffers packed into one arena, with a proved bound on what any plan needs."""

from graphmem.planner.plan import Options, plan
from graphmem.planner.verify import verify

__all__ = ["Options", "plan", "verify"]
