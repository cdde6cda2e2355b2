"""Cross-entropy with label smoothing against real steps of torch on the CPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import graphmem
from graphmem.ir.errors import OptionError

torch: Any = import_module("torch") if find_spec("torch") else None
pytestmark = pytest.mark.skipif(
    torch is None, reason="NO ORACLE: torch is not installed; pip install 'graphmem[export]'"
)


def classes(hidden: int, count: int) -> tuple[Any, Any, Any]:
    net = torch.nn.Sequential(torch.nn.Linear(16, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, count))
    return net, torch.randn(12, 16), torch.randint(0, count, (12,))


def words(steps: int, vocabulary: int) -> tuple[Any, Any, Any]:
    net = torch.nn.Sequential(
        torch.nn.Embedding(vocabulary, 8), torch.nn.LayerNorm(8), torch.nn.Linear(8, vocabulary, bias=False)
    )
    return net, torch.randint(0, vocabulary, (3, steps)), torch.randint(0, vocabulary, (3, steps))


def pixels(side: int, count: int) -> tuple[Any, Any, Any]:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Conv2d(4, count, 1)
    )
    return net, torch.randn(2, 3, side, side), torch.randint(0, count, (2, side, side))


NETWORKS: dict[str, Callable[[], tuple[Any, Any, Any]]] = {
    "few classes": partial(classes, 64, 10),
    "many classes": partial(classes, 8, 1000),
    "short sequences": partial(words, 5, 40),
    "wide vocabulary": partial(words, 7, 900),
    "few pixels": partial(pixels, 6, 30),
    "many pixels": partial(pixels, 24, 21),
}


def smoothed(p: float) -> Callable[[Any, Any], Any]:
    loss = torch.nn.CrossEntropyLoss(label_smoothing=p)

    def run(out: Any, target: Any) -> Any:
        return loss(out.view(-1, out.shape[-1]), target.view(-1)) if out.dim() == 3 else loss(out, target)

    return run


@pytest.fixture
def step_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[Any, Any]]:
    """(network, share, how) -> the step that was measured, and the one that was predicted from its export."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    torch.manual_seed(0)

    def both(name: str, p: float, autocast: Any = None, accumulate: int = 1) -> tuple[Any, Any]:
        net, x, target = NETWORKS[name]()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(net.train(), (x,), dynamo=True, optimize=False, verbose=False).save(tmp_path / "m.onnx")
        precision = "fp32" if autocast is None else "bf16-amp"
        asked = {"label_smoothing": p, "precision": precision, "accumulate": accumulate}
        found = graphmem.train(tmp_path / "m.onnx", **asked)
        make = partial(torch.optim.SGD, lr=0.01)
        step_trace = import_module("profile_step").step_trace
        return step_trace(net, (x,), target, smoothed(p), make, accumulate=accumulate, autocast=autocast), found

    return both


@pytest.mark.parametrize("p", [0.1, 1.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_with_smoothed_labels_is_byte_exact(step_of: Any, name: str, p: float) -> None:
    real, found = step_of(name, p)
    assert found.peak == real.peak
    phases = ("forward", "backward")
    assert [found.phase_peaks[phase] for phase in phases] == [real.phase_peak[phase] for phase in phases]


@pytest.mark.parametrize("name", ["many classes", "wide vocabulary", "many pixels"])
def test_so_it_is_in_mixed_precision_and_over_several_passes(step_of: Any, name: str) -> None:
    real, found = step_of(name, 0.2, autocast=torch.bfloat16, accumulate=2)
    assert found.peak == real.peak


def test_smoothing_costs_a_few_numbers_a_row_and_nothing_of_the_size_of_the_logits(step_of: Any) -> None:
    (real, plain), (smoothed_real, smooth) = (step_of("many classes", p) for p in (0.0, 0.1))
    assert smooth.phase_peaks["backward"] - plain.phase_peaks["backward"] == 12 * 4  # the gradient of every row
    assert smoothed_real.peak - real.peak == 12 * 4
    assert smooth.phase_peaks["forward"] - plain.phase_peaks["forward"] == 12 * 1 + 8  # which are ignored, how many not


def test_smoothing_of_another_loss_is_refused() -> None:
    with pytest.raises(OptionError, match="label_smoothing is of cross_entropy"):
        graphmem.train("m.onnx", loss="mse", label_smoothing=0.1)
