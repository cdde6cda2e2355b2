"""What-ifs of a training step against real steps of torch on the CPU."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest

import graphmem
from graphmem.autograd.precision import POLICIES
from graphmem.autograd.rules import RULES
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


class _Adapted:
    """peft's Linear.forward over a frozen linear layer."""

    def __new__(cls, base: Any, rank: int) -> Any:
        class Layer(torch.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.base = base
                self.lora_A = torch.nn.Linear(base.in_features, rank, bias=False)
                self.lora_B = torch.nn.Linear(rank, base.out_features, bias=False)

            def forward(self, x: Any) -> Any:
                result = self.base(x)
                dtype = result.dtype
                x = x.to(self.lora_A.weight.dtype)
                result = result + self.lora_B(self.lora_A(x)) * 2.0
                return result.to(dtype)

        return Layer()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-amp"])
def test_adapters_are_byte_exact(oracle: Any, precision: str, tmp_path: Path) -> None:
    from tests.oracle.whatif_networks import mlp

    module, x, target = mlp(), torch.randn(64, 128), torch.randn(64, 10)
    oracle.exported((module, (x,), target, "mse"), "train_raw", tmp_path / "m.onnx")
    if precision == "bf16":
        module, x, target = module.bfloat16(), x.bfloat16(), target.bfloat16()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    module[0], module[2] = _Adapted(module[0], 8), _Adapted(module[2], 8)
    mixed = torch.bfloat16 if precision == "bf16-amp" else None
    measured = oracle.step_trace(
        module, (x,), target, oracle.loss_of("mse"), oracle.OPTIMIZERS["adamw"], autocast=mixed
    )
    predicted = graphmem.train(tmp_path / "m.onnx", loss="mse", optimizer="adamw", lora="8", precision=precision)
    assert predicted.peak == measured.peak


@pytest.mark.parametrize("name", ["cnn", "gpt", "lstm"])
def test_activations_on_the_host_are_byte_exact(oracle: Any, name: str, tmp_path: Path) -> None:
    from tests.oracle.whatif_networks import NETWORKS

    moved: list[int] = []

    def pack(t: Any) -> Any:
        moved.append(t.numel() * t.element_size())
        return t.dtype, t.shape, t.detach().reshape(-1).view(torch.uint8).numpy().copy()

    def unpack(packed: Any) -> Any:
        out = torch.empty(packed[1], dtype=packed[0])
        out.reshape(-1).view(torch.uint8).copy_(torch.from_numpy(packed[2]))
        return out

    class OnHost(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *x: Any) -> Any:
            moved.clear()
            with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
                return self.inner(*x)

    module, inputs, target, loss = NETWORKS[name]()
    oracle.exported((module, inputs, target, loss), "train_raw", tmp_path / "m.onnx")
    found = graphmem.train(tmp_path / "m.onnx", loss=loss, offload=["activations"])
    assert found.peak == oracle.measured((OnHost(module), inputs, target, loss), "sgd").peak
    assert found.traffic is not None
    assert found.traffic.to_host == sum(moved)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_pruned_network_is_the_network_built_with_fewer_channels(oracle: Any, optimizer: str, tmp_path: Path) -> None:
    from tests.oracle.whatif_networks import NETWORKS, Residual

    nn = torch.nn
    small = nn.Sequential(  # 24, 48 and 96 channels less 30 %
        nn.Conv2d(3, 17, 3, 1, 1), nn.BatchNorm2d(17), nn.ReLU(), nn.MaxPool2d(2), Residual(17, 34, 1),
        Residual(34, 68, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(68, 20),
    )  # fmt: skip
    case = NETWORKS["cnn"]()
    oracle.exported(case, "train_raw", tmp_path / "m.onnx")
    found = graphmem.train(tmp_path / "m.onnx", optimizer=optimizer, prune=0.3)
    assert found.peak == oracle.measured((small, *case[1:]), optimizer).peak


def test_checkpointed_blocks_are_computed_again_under_autocast(oracle: Any, tmp_path: Path) -> None:
    from torch.utils.checkpoint import checkpoint

    from tests.oracle.whatif_networks import NETWORKS

    class Again(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Any) -> Any:
            return checkpoint(self.inner, x, use_reentrant=False)

    module, *rest = NETWORKS["gpt"]()
    oracle.exported((module, *rest), "train_raw", tmp_path / "m.onnx")
    for i, block in enumerate(module.blocks):
        module.blocks[i] = Again(block)
    asked: dict[str, Any] = {"precision": "bf16-amp", "accumulate": 2}
    found = graphmem.train(tmp_path / "m.onnx", checkpoint=["blocks.*"], **asked)
    assert found.peak == oracle.measured((module, *rest), "sgd", **asked).peak


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_muon_is_byte_exact(oracle: Any, precision: str, tmp_path: Path) -> None:
    nn = torch.nn
    layers = [nn.Linear(64, 96, bias=False), nn.ReLU(), nn.Linear(96, 200, bias=False), nn.ReLU()]
    module, x = nn.Sequential(*layers, nn.Linear(200, 10, bias=False)), torch.randn(4, 64)
    target = torch.randint(0, 10, (4,))
    oracle.exported((module, (x,), target, "cross_entropy"), "train_raw", tmp_path / "m.onnx")
    if precision == "bf16":
        module, x = module.bfloat16(), x.bfloat16()
    measured = oracle.step_trace(module, (x,), target, oracle.loss_of("cross_entropy"), torch.optim.Muon)
    assert graphmem.train(tmp_path / "m.onnx", optimizer="muon", precision=precision).peak == measured.peak


@pytest.mark.parametrize("form", ["single", "foreach", "fused"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adafactor"])
def test_forms_of_optimizers_with_weight_decay(oracle: Any, name: str, form: str, tmp_path: Path) -> None:
    kind = getattr(torch.optim, name)
    asked: dict[str, Any] = {"fused": True} if form == "fused" else {"foreach": form == "foreach"}
    if form == "fused" and name in ("NAdam", "RAdam", "RMSprop", "Adafactor"):
        pytest.skip(f"torch has no fused {name}")
    nn = torch.nn
    module = nn.Sequential(nn.Linear(40, 300), nn.ReLU(), nn.Linear(300, 500), nn.ReLU(), nn.Linear(500, 10))
    x, target = torch.randn(2, 40), torch.randint(0, 10, (2,))
    oracle.exported((module, (x,), target, "cross_entropy"), "train_raw", tmp_path / "m.onnx")
    decay = {} if name == "Adafactor" else {"weight_decay": 0.01}

    def made(parameters: Any) -> Any:
        return kind(parameters, lr=0.01, **decay, **asked)

    before = 8 if name == "RAdam" else 1  # which rectifies from step 6 on
    measured = oracle.step_trace(module, (x,), target, oracle.loss_of("cross_entropy"), made, before=before)
    found = graphmem.train(tmp_path / "m.onnx", optimizer=name.lower(), form=form, weight_decay=bool(decay))
    assert abs(found.peak - measured.peak) <= 0.002 * measured.peak
