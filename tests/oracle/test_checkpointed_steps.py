"""Checkpointed steps against real ones: the peak to the byte, and gradients equal to those of the plain step."""

from __future__ import annotations

from collections.abc import Callable
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
BLOCKS = {
    "stages": [f"blocks.{i}" for i in range(6)],
    "gpt": [f"h.{i}" for i in range(6)],
    "encoder": [f"layers.{i}" for i in range(4)],
}
CASES = [  # network, spec, the modules that it stands for, what their policy keeps
    ("stages", "blocks", BLOCKS["stages"], ""),
    ("stages", "every:2", BLOCKS["stages"][::2], ""),
    ("stages", "*.bn?", [f"{b}.bn{k}" for b in BLOCKS["stages"] for k in (1, 2)], ""),
    ("stages", "blocks:keep=convolution#0", BLOCKS["stages"], "convolution#0"),
    ("gpt", "blocks", BLOCKS["gpt"], ""),
    ("gpt", "every:4", BLOCKS["gpt"][::4], ""),
    ("gpt", "h.[0-2].mlp", [f"h.{i}.mlp" for i in range(3)], ""),
    ("gpt", "blocks:keep=addmm,sdpa", BLOCKS["gpt"], "addmm,sdpa"),
    ("gpt", "blocks:keep=addmm#0,addmm#1", BLOCKS["gpt"], "addmm#0,addmm#1"),
    ("encoder", "blocks", BLOCKS["encoder"], ""),
    ("encoder", "every:2", BLOCKS["encoder"][::2], ""),
    ("encoder", "*.attention", [f"{b}.attention" for b in BLOCKS["encoder"]], ""),
    ("encoder", "blocks:keep=addmm,bmm", BLOCKS["encoder"], "addmm,bmm"),
]


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


def _case(name: str) -> Any:
    from tests.oracle.checkpoint_networks import NETWORKS

    torch.manual_seed(0)
    return NETWORKS[name]()


@needs_torch
@pytest.mark.parametrize(("name", "spec", "modules", "keep"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_a_checkpointed_step_is_byte_exact(
    name: str, spec: str, modules: list[str], keep: str, exports: Callable[[str], Path]
) -> None:
    from tests.oracle.checkpoint_networks import gradients, measured, wrap

    wrapped = _case(name)
    wrap(wrapped[0], modules, keep.split(",") if keep else ())
    assert all(torch.equal(a, b) for a, b in zip(gradients(_case(name)), gradients(wrapped), strict=True))
    predicted = graphmem.train(exports(name), checkpoint=[spec]).peak
    assert abs(predicted - measured(wrapped)) <= 256


@needs_torch
def test_sqrt_is_checkpoint_sequential(exports: Callable[[str], Path]) -> None:
    from torch.utils.checkpoint import checkpoint_sequential

    from tests.oracle.checkpoint_networks import measured

    case = _case("stages")
    layers = case[0].blocks
    layers.forward = lambda x: checkpoint_sequential(list(layers), 2, x, use_reentrant=False)  # 6 blocks, 3 by 3
    predicted = graphmem.train(exports("stages"), checkpoint=["sqrt"]).peak
    assert abs(predicted - measured(case)) <= 256


@needs_torch
def test_the_random_state_that_a_checkpoint_keeps_is_5056_bytes() -> None:
    from graphmem.autograd.saved_hooks import RANDOM_STATE

    assert torch.get_rng_state().untyped_storage().nbytes() == RANDOM_STATE


@pytest.mark.skipif(find_spec("transformers") is None, reason="NO ORACLE: transformers is not installed")
@pytest.mark.filterwarnings("ignore::FutureWarning")  # transformers 5 renames it to activation_checkpointing_enable
@pytest.mark.parametrize("every", [1, 2])
def test_blocks_are_what_hugging_face_checkpoints(every: int, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    from tests.oracle.checkpoint_networks import exported, measured

    class Logits(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            config = GPT2Config(vocab_size=300, n_embd=64, n_layer=4, n_head=4, n_positions=64, use_cache=False)
            self.m = GPT2LMHeadModel(config)

        def forward(self, x: Any) -> Any:
            return self.m(x).logits

    torch.manual_seed(0)
    ids, labels = (torch.randint(0, 300, (4, 48)) for _ in range(2))
    case = Logits(), (ids,), labels, "cross_entropy"
    path = tmp_path / "gpt2.onnx"
    exported(case, path)
    case[0].m.gradient_checkpointing_enable({"use_reentrant": False}, every_n_layers=every)
    predicted = graphmem.train(path, checkpoint=[f"every:{every}"]).peak
    assert abs(predicted - measured(case)) <= 256
