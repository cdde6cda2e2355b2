"""Checkpointed steps against real ones: the peak to the byte, and gradients equal to those of the plain step."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import graphmem

torch: Any = import_module("torch") if find_spec("torch") else None
needs_torch = pytest.mark.skipif(
    torch is None, reason="NO ORACLE: torch is not installed; pip install 'graphmem[export]'"
)
CASES = {  # network -> spec -> the modules that it stands for
    "stages": {
        "blocks": [f"blocks.{i}" for i in range(6)],
        "every:2": ["blocks.0", "blocks.2", "blocks.4"],
        "*.bn?": [f"blocks.{i}.bn{k}" for i in range(6) for k in (1, 2)],
    },
    "gpt": {
        "blocks": [f"h.{i}" for i in range(6)],
        "every:4": ["h.0", "h.4"],
        "h.[0-2].mlp": [f"h.{i}.mlp" for i in range(3)],
    },
    "encoder": {
        "blocks": [f"layers.{i}" for i in range(4)],
        "every:2": ["layers.0", "layers.2"],
        "*.attention": [f"layers.{i}.attention" for i in range(4)],
    },
}


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import training_oracle  # type: ignore[import-not-found]

    return training_oracle


def _case(name: str) -> Any:
    from tests.oracle.checkpoint_networks import NETWORKS

    torch.manual_seed(0)
    return NETWORKS[name]()


def gradients(oracle: Any, case: Any) -> list[Any]:
    module, inputs, target, loss = case
    torch.manual_seed(1)
    oracle.loss_of(loss)(module.train()(*inputs), target).backward()
    return [p.grad.clone() for p in module.parameters()]


@needs_torch
@pytest.mark.parametrize(("name", "spec"), [(name, spec) for name, specs in CASES.items() for spec in specs])
def test_a_checkpointed_step_is_byte_exact(name: str, spec: str, oracle: Any, tmp_path: Path) -> None:
    from tests.oracle.checkpoint_networks import wrap

    case = _case(name)
    path = tmp_path / f"{name}.onnx"
    oracle.exported(case, "train_raw", path)
    plain = gradients(oracle, _case(name))
    wrapped = _case(name)
    wrap(wrapped[0], CASES[name][spec])
    assert all(torch.equal(a, b) for a, b in zip(plain, gradients(oracle, wrapped), strict=True))
    wrapped[0].zero_grad(set_to_none=True)
    predicted = graphmem.train(path, loss=case[3], checkpoint=[spec]).peak
    assert abs(predicted - oracle.measured(wrapped, "sgd").peak) <= 256


@needs_torch
def test_sqrt_is_checkpoint_sequential(oracle: Any, tmp_path: Path) -> None:
    from torch.utils.checkpoint import checkpoint_sequential

    case = _case("stages")
    path = tmp_path / "stages.onnx"
    oracle.exported(case, "train_raw", path)
    layers = case[0].blocks
    layers.forward = lambda x: checkpoint_sequential(list(layers), 2, x, use_reentrant=False)  # 6 blocks, 3 by 3
    predicted = graphmem.train(path, loss=case[3], checkpoint=["sqrt"]).peak
    assert abs(predicted - oracle.measured(case, "sgd").peak) <= 256


@needs_torch
def test_the_random_state_that_a_checkpoint_keeps_is_5056_bytes() -> None:
    from graphmem.autograd.recomputation import RANDOM_STATE

    assert torch.get_rng_state().untyped_storage().nbytes() == RANDOM_STATE
