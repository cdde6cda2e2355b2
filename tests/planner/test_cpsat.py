from __future__ import annotations

import sys

import pytest

from graphmem.ir.errors import OptionError
from graphmem.planner import Options, plan
from tests.planner.instances import random_lifetimes

FIXED = Options(fixed={"t2": 7}, timeout=None)


def test_a_second_opinion_is_never_worse() -> None:
    pytest.importorskip("ortools", reason="the extra graphmem[ortools] is not installed")
    for seed in range(4):
        lifetimes = random_lifetimes(seed, 14)
        opinion = plan(lifetimes, Options(fixed={"t2": 7}, timeout=None, second_opinion=True))
        assert opinion.lower_bound <= opinion.arena <= plan(lifetimes, FIXED).arena


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)
    with pytest.raises(OptionError, match=r"graphmem\[ortools\]"):
        plan(random_lifetimes(3, 18), Options(fixed={"t2": 7}, timeout=None, second_opinion=True))
