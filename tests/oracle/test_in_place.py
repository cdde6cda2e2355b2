"""Activations in place against a real step of torch: what each keeps, and where PyTorch lets them be."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from graphmem.ir.options import TrainingOptions
from graphmem.raising import raised
from graphmem.reader import read
from graphmem.schedule.eager import training_trace
from graphmem.schedule.training_figures import peak_of

torch = pytest.importorskip("torch", reason="NO ORACLE: torch is not installed; pip install 'graphmem[export]'")
nn = torch.nn

MAKERS = {
    "ReLU": nn.ReLU, "LeakyReLU": nn.LeakyReLU, "ELU": nn.ELU, "CELU": nn.CELU, "SELU": nn.SELU, "ReLU6": nn.ReLU6,
    "SiLU": nn.SiLU, "Mish": nn.Mish, "Hardswish": nn.Hardswish, "Hardtanh": nn.Hardtanh,
    "Hardsigmoid": nn.Hardsigmoid,
}  # fmt: skip


@pytest.mark.parametrize("kind", MAKERS)
def test_a_step_of_a_convnet_is_byte_exact(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    oracle: Any = import_module("training_oracle")
    torch.manual_seed(0)
    x, target = torch.randn(4, 3, 32, 32), torch.randint(0, 10, (4,))
    oracle.exported((network(kind, False), (x,), target, "cross_entropy"), "train_raw", tmp_path / "m.onnx")
    graph = read(tmp_path / "m.onnx")
    for is_in_place in (False, True):
        step = TrainingOptions(inplace=("*",) if is_in_place else ())
        case = network(kind, is_in_place), (x,), target
        measured = oracle.step_trace(*case, oracle.loss_of("cross_entropy"), oracle.OPTIMIZERS["sgd"])
        assert peak_of(training_trace(raised(graph, step), step)) == measured.peak


def network(kind: str, is_in_place: bool) -> Any:
    def activation() -> Any:
        return MAKERS[kind](inplace=is_in_place)

    return nn.Sequential(
        nn.Conv2d(3, 8, 3), activation(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), activation(), nn.Flatten(),
        nn.Linear(6272, 32), activation(), nn.Linear(32, 10),
    )  # fmt: skip
