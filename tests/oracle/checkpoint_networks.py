"""Networks of our own that checkpointing is measured on, with the wraps that graphmem prints put around their modules.

NETWORKS: name -> (module, example inputs, target, loss), as in training_networks.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
    noop_context_fn,
)

from tests.oracle.profile_step import step_trace

Case = tuple[nn.Module, tuple[Tensor, ...], Tensor, str]


class Residual(nn.Module):
    """Two convolutions with batch norm, an in-place ReLU, and a shortcut."""

    def __init__(self, i: int, o: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.act = nn.ReLU(inplace=True)
        self.down = nn.Conv2d(i, o, 1, stride, bias=False) if stride > 1 or i != o else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.bn1(self.conv1(x)))
        return self.act(self.bn2(self.conv2(y)) + self.down(x))


class Stages(nn.Module):
    """A residual network of six blocks in three stages."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        widths = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
        self.blocks = nn.Sequential(*(Residual(*w) for w in widths))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Attention(nn.Module):
    """Causal attention with one projection for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = (y.view(b, t, self.heads, -1).transpose(1, 2) for y in self.qkv(x).split(c, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(b, t, c))


class Block(nn.Module):
    """A decoder layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    """A language model of six layers."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(300, 64), nn.Embedding(64, 64)
        self.h = nn.ModuleList(Block(64, 4) for _ in range(6))
        self.ln = nn.LayerNorm(64)
        self.head = nn.Linear(64, 300, bias=False)
        self.register_buffer("place", torch.arange(64))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.wte(ids) + self.wpe(self.place)
        for block in self.h:
            x = block(x)
        return self.head(self.ln(x))


class BiasedAttention(nn.Module):
    """Attention written out, with a bias of positions and dropout of its weights."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.drop = nn.Dropout(0.1)

    def split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def weights(self, x: Tensor, bias: Tensor) -> Tensor:
        scores = self.split(self.q(x)) @ self.split(self.k(x)).transpose(-2, -1)
        return self.drop((scores * self.scale + bias).softmax(-1))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        return self.o((self.weights(x, bias) @ self.split(self.v(x))).transpose(1, 2).reshape(x.shape))


class Layer(nn.Module):
    """A post-norm encoder layer with dropout in three places."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = BiasedAttention(width, heads)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.norm1(x + self.drop(self.attention(x, bias)))
        return self.norm2(x + self.drop(self.mlp(x)))


class DropoutEncoder(nn.Module):
    """A post-norm encoder whose layers share a learned bias of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(200, 64)
        self.bias = nn.Parameter(torch.zeros(4, 32, 32))
        self.layers = nn.ModuleList(Layer(64, 4) for _ in range(4))
        self.head = nn.Linear(64, 7)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x, self.bias)
        return self.head(x.mean(1))


NETWORKS: dict[str, Callable[[], Case]] = {
    "stages": lambda: (Stages(), (torch.randn(8, 3, 32, 32),), torch.randint(0, 10, (8,)), "cross_entropy"),
    "gpt": lambda: (GPT(), (torch.randint(0, 300, (8, 64)),), torch.randint(0, 300, (8, 64)), "cross_entropy"),
    "encoder": lambda: (
        DropoutEncoder(), (torch.randint(0, 200, (8, 32)),), torch.randint(0, 7, (8,)), "cross_entropy",
    ),
}  # fmt: skip


def exported(case: Case, path: Path) -> None:
    """Write the network as ONNX, as it trains."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(case[0].train(), case[1], dynamo=True, optimize=False, verbose=False)
    assert program is not None
    program.save(str(path), external_data=False)


def loss_of(out: Tensor, target: Tensor | None) -> Tensor:
    """Cross entropy as a training loop writes it."""
    assert target is not None
    return F.cross_entropy(out.view(-1, out.shape[-1]), target.view(-1))


def measured(case: Case) -> int:
    """The peak of a real step, tensor-level bytes."""
    module, inputs, target, _ = case
    return step_trace(module.train(), inputs, target, loss_of, lambda p: torch.optim.SGD(p, lr=0.01)).peak


def gradients(case: Case) -> list[Tensor]:
    """Of one step, the same random numbers each time."""
    module, inputs, target, _ = case
    module.zero_grad(set_to_none=True)
    torch.manual_seed(1)
    loss_of(module.train()(*inputs), target).backward()
    found = [p.grad.clone() for p in module.parameters() if p.grad is not None]
    module.zero_grad(set_to_none=True)
    return found


def wrap(model: nn.Module, scopes: Iterable[str], keep: Iterable[str] = ()) -> nn.Module:
    """Put torch.utils.checkpoint around the calls of these modules, with a selective policy when something is kept."""
    context = partial(_contexts, frozenset(keep)) if keep else noop_context_fn
    for scope in scopes:
        module = model.get_submodule(scope)
        module.forward = partial(  # type: ignore[method-assign]
            checkpoint, module.forward, use_reentrant=False, context_fn=context
        )
    return model


def _contexts(keep: frozenset[str]) -> Any:
    seen: Counter[str] = Counter()

    def policy(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
        del context, args, kwargs
        name = {"_scaled_dot_product_flash_attention_for_cpu": "sdpa"}.get(operator.__name__.split(".")[0])
        name = name or operator.__name__.split(".")[0]
        seen[name] += 1
        is_kept = name in keep or f"{name}#{seen[name] - 1}" in keep
        return CheckpointPolicy.MUST_SAVE if is_kept else CheckpointPolicy.PREFER_RECOMPUTE

    return create_selective_checkpoint_contexts(policy)
