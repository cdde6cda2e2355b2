"""What `graphmem checkpoint --emit` prints, run on real modules: the peak that it predicts, the gradients of before."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import graphmem
from graphmem.ir.recompute import ModelFrontier
from graphmem.report.checkpoint_code import code

torch: Any = import_module("torch") if find_spec("torch") else None
needs_torch = pytest.mark.skipif(
    torch is None, reason="NO ORACLE: torch is not installed; pip install 'graphmem[export]'"
)
BUDGETS = {"stages": (0.95, 0.72), "gpt": (0.8, 0.5), "encoder": (0.8, 0.5)}  # parts of the peak that keeps all


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Network -> its file, written once."""
    folder = tmp_path_factory.mktemp("networks")

    def path_of(name: str) -> Path:
        from tests.oracle.checkpoint_networks import exported

        path = folder / f"{name}.onnx"
        if not path.exists():
            exported(_case(name), path)
        return path

    return path_of


@cache
def _answer(path: Path, ratio: float) -> ModelFrontier:
    return graphmem.checkpoint_frontier(path, ratio=ratio)


def _case(name: str) -> Any:
    from tests.oracle.checkpoint_networks import NETWORKS

    torch.manual_seed(0)
    return NETWORKS[name]()


@needs_torch
@pytest.mark.parametrize("form", ["torch", "sac"])
@pytest.mark.parametrize(("name", "ratio"), [(name, ratio) for name, ratios in BUDGETS.items() for ratio in ratios])
def test_pasted_code_has_the_peak_that_it_predicts(
    name: str, ratio: float, form: str, exports: Callable[[str], Path]
) -> None:
    from tests.oracle.checkpoint_networks import gradients, measured

    found = _answer(exports(name), ratio)
    plans = [p for p in found.wraps if form == "sac" or p.grain == "module"]
    predicted = min(plans, key=lambda p: (p.again, p.peak))
    names: dict[str, Any] = {}
    exec(code(found, form), names)
    case = _case(name)
    names["wrap"](case[0])
    assert all(torch.equal(a, b) for a, b in zip(gradients(_case(name)), gradients(case), strict=True))
    peak = measured(case)
    assert found.budget is not None
    assert peak <= found.budget < found.operations.baseline.peak
    assert abs(peak - predicted.peak) < 0.001 * peak
    assert predicted.wraps
