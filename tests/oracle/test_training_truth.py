"""Training against real steps: the measured networks beside the repository, and, where torch is there, our own."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest

import graphmem
from graphmem.autograd.rules.recurrent import lstm_workspace
from tests.conftest import SHARED

DATA = SHARED / "data" / "training"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"the measured networks are not at {DATA}")


def _errors(flavour: str, optimizer: str = "sgd", **options: object) -> dict[str, tuple[int, float]]:
    found = {}
    for name, runs in json.loads((DATA / "truth.json").read_text())["nets"].items():
        path = DATA / f"{name}_{flavour}.onnx"
        if optimizer in runs and path.exists():
            truth = runs[optimizer]["tensor_peak"]
            off = abs(graphmem.train(path, optimizer=optimizer, **options).peak - truth)  # type: ignore[arg-type]
            found[name] = off, off / truth
    return found


@needs_data
def test_raw_training_exports_are_byte_exact_on_18_of_19() -> None:
    errors = _errors("train_dynraw")
    assert len(errors) == 19
    assert sum(off <= 256 for off, _ in errors.values()) >= 18, errors
    assert max(share for _, share in errors.values()) < 0.0001


@needs_data
def test_adamw_is_within_a_hundredth_of_a_percent() -> None:
    assert max(share for _, share in _errors("train_dynraw", "adamw").values()) < 0.0001


@needs_data
def test_evaluation_exports_without_dropout_are_within_a_fifth_of_a_percent() -> None:
    with_dropout = {"gru", "hf_bert", "hf_gpt2", "hf_vit", "minigpt"}
    assert max(share for n, (_, share) in _errors("eval_dyn").items() if n not in with_dropout) < 0.002


@needs_data
def test_torchscript_exports_are_within_a_tenth_of_a_percent() -> None:
    assert max(share for _, share in _errors("train_ts").values()) < 0.001


@needs_data
def test_folded_norms_come_back_on_request() -> None:
    errors = _errors("eval_ts", assume_bn=True)
    assert all(errors[n][0] <= 256 for n in ("mobilenetv2", "resnet18", "unet", "effnet"))


def _waiting(path: Path, batch: int) -> list[tuple[str, int]]:
    """Name and bytes of every activation that is alive when the forward pass ends."""
    found = graphmem.train(path, batch=batch)
    last = max(i for i, step in enumerate(found.schedule.steps) if step.phase == "forward")
    alive = zip(found.schedule.buffers, found.lifetimes.start, found.lifetimes.stop, strict=True)
    return [(b.name, b.nbytes) for b, start, stop in alive if b.kind == "activation" and start <= last + 1 < stop]


@needs_data
def test_twice_the_batch_is_twice_every_activation_that_has_one() -> None:
    paths = sorted(DATA.glob("*_train_dynraw.onnx"))
    assert len(paths) == 19
    for path in paths:
        pairs = list(zip(_waiting(path, 8), _waiting(path, 16), strict=True))
        assert all(one == two for (one, _), (two, _) in pairs)
        grown = sum(small for (_, small), (_, large) in pairs if large == 2 * small)
        fixed = [(name, small) for (name, small), (_, large) in pairs if large == small]
        rounded = [name for (name, small), (_, large) in pairs if large not in (small, 2 * small)]
        assert not rounded or path.name.startswith("lstm"), rounded  # oneDNN's workspace: sections of whole pages
        assert len(rounded) in (0, 4)  # two layers of two directions
        # statistics of batch norms, tables of positions, masks and the loss: they hold no sample
        assert sum(nbytes for _, nbytes in fixed) < 0.003 * grown, (path.name, fixed)


torch: Any = import_module("torch") if find_spec("torch") else None
needs_torch = pytest.mark.skipif(
    torch is None, reason="NO ORACLE: torch is not installed; pip install 'graphmem[export]'"
)


def _own(
    form: str, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str = "sgd"
) -> tuple[int, int]:
    """Predicted and measured peak of a network of ours."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import training_oracle as oracle  # type: ignore[import-not-found]

    torch.manual_seed(0)
    case = oracle.networks()[name]()
    oracle.exported(case, form, folder / f"{name}_{form}.onnx")
    found = graphmem.train(folder / f"{name}_{form}.onnx", loss=case[3], optimizer=optimizer)
    return found.peak, oracle.measured(case, optimizer).peak


@needs_torch
@pytest.mark.parametrize("name", ["dense", "window", "tied_lstm", "fpn", "segformer", "einsum"])
def test_our_own_networks_are_byte_exact(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, truth = _own("train_dynraw", name, tmp_path, monkeypatch)
    assert abs(found - truth) <= 256


@needs_torch
@pytest.mark.parametrize("name", ["teacher", "messages", "weight_norm", "spectral_norm", "cells", "relative"])
def test_regions_and_rewritten_calls_are_byte_exact(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, truth = _own("train_dynraw", name, tmp_path, monkeypatch, "adamw")
    assert abs(found - truth) <= 256


@needs_torch
@pytest.mark.parametrize("name", ["vit", "poolformer"])
def test_our_torchscript_exports_are_byte_exact(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, truth = _own("train_ts", name, tmp_path, monkeypatch)
    assert abs(found - truth) <= 256


@needs_torch
@pytest.mark.parametrize("name", ["generator", "squeeze", "poolformer", "bigru"])
def test_optimized_exports_are_byte_exact(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, truth = _own("train_dyn", name, tmp_path, monkeypatch)
    assert abs(found - truth) <= 256


@needs_torch
def test_the_workspace_of_an_lstm_is_that_of_onednn() -> None:
    draw = Random(0)
    for _ in range(40):
        steps, batch, width, hidden = (draw.randint(1, most) for most in (32, 20, 300, 300))
        weights = [p.detach() for p in torch.nn.LSTM(width, hidden).parameters()]
        state = [torch.zeros(batch, hidden) for _ in range(2)]
        made = torch.mkldnn_rnn_layer(
            torch.zeros(steps, batch, width), *weights, *state, False, [], 2, hidden, 1, True, False, False, True
        )
        measured = made[3].untyped_storage().nbytes()
        assert lstm_workspace(steps, batch, width, hidden) == measured, (steps, batch, width, hidden)
