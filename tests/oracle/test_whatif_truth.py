"""What-ifs of a training step against real steps of torch on the CPU."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest

import graphmem
from graphmem.autograd.autocast import POLICIES
from graphmem.autograd.registry import RULES
from graphmem.autograd.rules.recurrent import lstm_workspace

torch: Any = import_module("torch") if find_spec("torch") else None
pytestmark = pytest.mark.skipif(
    torch is None, reason="NO ORACLE: torch is not installed; pip install 'graphmem[export]'"
)


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    torch.manual_seed(0)
    return import_module("training_oracle")


def _difference(oracle: Any, name: str, path: Path, **asked: Any) -> int:
    case = oracle.NETWORKS[name]()
    oracle.exported(case, "train_dynraw", path)
    predicted: int = graphmem.train(path, loss=case[3], optimizer="sgd", **asked).peak
    return predicted - int(oracle.measured(case, "sgd", **asked).peak)


@pytest.mark.parametrize("precision", ["bf16", "fp16", "bf16-amp", "fp16-amp"])
@pytest.mark.parametrize("name", ["group_unet", "rotary", "speech"])
def test_precisions_are_byte_exact(oracle: Any, name: str, precision: str, tmp_path: Path) -> None:
    assert _difference(oracle, name, tmp_path / "m.onnx", precision=precision) == 0


@pytest.mark.parametrize(
    ("name", "precision"), [("tied_lstm", "bf16"), ("tied_lstm", "fp16"), ("tied_lstm", "bf16-amp")]
)
def test_an_lstm_is_byte_exact_where_torch_runs_it(oracle: Any, name: str, precision: str, tmp_path: Path) -> None:
    assert _difference(oracle, name, tmp_path / "m.onnx", precision=precision) == 0


@pytest.mark.parametrize("passes", [2, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16-amp"])
@pytest.mark.parametrize("name", ["rotary", "conformer"])
def test_accumulation_is_byte_exact(oracle: Any, name: str, precision: str, passes: int, tmp_path: Path) -> None:
    assert _difference(oracle, name, tmp_path / "m.onnx", precision=precision, accumulate=passes) == 0


@pytest.mark.parametrize(("device", "key"), [("cpu", "AutocastCPU"), ("cuda", "AutocastCUDA")])
def test_the_lists_of_autocast_are_those_of_the_dispatcher(device: str, key: str) -> None:
    found = torch._C._dispatch_get_registrations_for_dispatch_key(key)
    registered = {name.removeprefix("aten::").partition(".")[0] for name in found}
    ruled = {name.removeprefix("aten.") for name in RULES if name.count(".") == 1}
    missing = (registered & ruled) - set(POLICIES[device])
    assert missing <= {"binary_cross_entropy"}, missing  # torch refuses it under autocast of CUDA
    beside = {"_softmax", "_log_softmax", "_safe_softmax", "__matmul__", "convolution", "nll_loss_forward"}
    beside |= {"_fused_rms_norm", "native_group_norm", "grid_sampler_2d", "grid_sampler_3d"}  # parts of registered ones
    beside |= {"lstm", "gru", "rnn_tanh", "rnn_relu"}  # _cudnn_rnn, which a build without CUDA does not register
    assert not (set(POLICIES[device]) & ruled) - registered - beside


def test_the_workspace_of_an_lstm_in_bfloat16_is_that_of_onednn() -> None:
    draw = Random(0)
    for _ in range(60):
        steps, batch, width, hidden = (draw.randint(1, most) for most in (32, 20, 300, 300))
        weights = [p.detach().bfloat16() for p in torch.nn.LSTM(width, hidden).parameters()]
        state = [torch.zeros(batch, hidden, dtype=torch.bfloat16) for _ in range(2)]
        x = torch.zeros(steps, batch, width, dtype=torch.bfloat16)
        made = torch.mkldnn_rnn_layer(x, *weights, *state, False, [], 2, hidden, 1, True, False, False, True)
        wanted = made[3].untyped_storage().nbytes()
        assert lstm_workspace(steps, batch, width, hidden, 2) == wanted, (steps, batch, width, hidden)
