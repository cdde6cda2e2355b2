"""Forward runs as `graphmem fit` counts them, against real ones of torch under `no_grad`, byte for byte."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: forward runs are not held against real ones")

import graphmem  # noqa: E402
from tests.oracle.profile_step import forward_trace  # noqa: E402

MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize(("name", "batch"), [("resnet18", 2), ("resnet50", 1), ("mobilenetv2", 3), ("vgg16", 1)])
def test_the_peak_of_a_forward_run(name: str, batch: int) -> None:
    sys.path.insert(0, str(MODELS))
    import architectures as arch

    networks = {
        "resnet18": lambda: arch.ResNet(arch.BasicBlock, (2, 2, 2, 2)),
        "resnet50": lambda: arch.ResNet(arch.Bottleneck, (3, 4, 6, 3)),
        "mobilenetv2": arch.MobileNetV2,
        "vgg16": arch.VGG16,
    }
    real = forward_trace(networks[name]().eval(), (torch.randn(batch, 3, 224, 224),))
    assert graphmem.fit(MODELS / f"{name}.onnx", batch=batch, assume_bn=False).need.peak == real.peak
