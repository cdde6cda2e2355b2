"""Two networks that run on several ranks: a residual CNN and a GPT, each with numbered blocks.

NETWORKS: name -> (module, example inputs of one rank, target, loss).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Case = tuple[nn.Module, tuple[Tensor, ...], Tensor, str]


class Residual(nn.Module):
    """Two 3x3 convolutions with norms, and the input added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(x + self.norm2(self.conv2(y)))


class Cnn(nn.Module):
    """A stem, four residual blocks, pooling and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 101, 3, padding=1)  # no multiple of 2 or 4: shards are padded
        self.blocks = nn.ModuleList(Residual(101) for _ in range(4))
        self.head = nn.Linear(101, 1000)

    def front(self, x: Tensor) -> Tensor:
        return F.relu(self.stem(x))

    def back(self, x: Tensor) -> Tensor:
        return self.head(x.mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.front(x)
        for block in self.blocks:
            x = block(x)
        return self.back(x)


class Block(nn.Module):
    """A transformer block before whose parts the norms stand, with one projection for query, key and value."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).split(c, 2)
        q, k, v = (y.view(b, t, self.heads, c // self.heads).transpose(1, 2) for y in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class RowLinear(nn.Module):
    """One rank's part of a linear layer that is cut by rows; its all-reduce is in place, so nothing stands for it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.product = nn.Linear(inputs, outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x) + self.bias


class NarrowBlock(Block):
    """What one of `parts` ranks runs of a Block: its heads and its part of the MLP."""

    def __init__(self, width: int, heads: int, parts: int) -> None:
        super().__init__(width, heads)
        self.heads, self.inner = heads // parts, width // parts
        self.qkv, self.out = nn.Linear(width, 3 * self.inner), RowLinear(self.inner, width)
        self.up, self.down = nn.Linear(width, 4 * self.inner), RowLinear(4 * self.inner, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).split(self.inner, 2)
        q, k, v = (y.view(b, t, self.heads, self.inner // self.heads).transpose(1, 2) for y in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, self.inner))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    """Embeddings, four blocks, a norm and a head that is not tied; with `parts`, what one of as many ranks runs."""

    def __init__(self, width: int = 160, heads: int = 4, depth: int = 4, parts: int = 1) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(1003, width), nn.Embedding(64, width)
        self.blocks = nn.ModuleList(
            Block(width, heads) if parts == 1 else NarrowBlock(width, heads, parts) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1003, bias=False)

    def front(self, ids: Tensor) -> Tensor:
        return self.tokens(ids) + self.places.weight

    def back(self, x: Tensor) -> Tensor:
        return self.head(self.norm(x))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.front(ids)
        for block in self.blocks:
            x = block(x)
        return self.back(x)


class Part(nn.Module):
    """Blocks [start, stop) of a network, with its front before the first and its back after the last."""

    def __init__(self, whole: Any, start: int, stop: int) -> None:
        super().__init__()
        self.is_first, self.is_last = start == 0, stop == len(whole.blocks)
        self.blocks = whole.blocks[start:stop]
        names = (("stem", "tokens", "places") if self.is_first else ()) + (("norm", "head") if self.is_last else ())
        for name in names:
            if hasattr(whole, name):
                setattr(self, name, getattr(whole, name))
        self.kind = type(whole)

    def forward(self, x: Tensor) -> Tensor:
        if self.is_first:
            x = self.kind.front(self, x)
        for block in self.blocks:
            x = block(x)
        return self.kind.back(self, x) if self.is_last else x


class Tied(Gpt):
    """A GPT whose head is its embedding, and whose first block is frozen."""

    def __init__(self) -> None:
        super().__init__(width=96, heads=2, depth=3)
        self.head.weight = self.tokens.weight
        for parameter in self.blocks[0].parameters():
            parameter.requires_grad = False


def _cnn(batch: int) -> Case:
    return Cnn(), (torch.randn(batch, 3, 16, 16),), torch.randint(1000, (batch,)), "cross_entropy"


def _gpt(batch: int) -> Case:
    return Gpt(), (torch.randint(1003, (batch, 64)),), torch.randint(1003, (batch, 64)), "cross_entropy"


def _tied(batch: int) -> Case:
    return Tied(), (torch.randint(1003, (batch, 64)),), torch.randint(1003, (batch, 64)), "cross_entropy"


NETWORKS: dict[str, Callable[[int], Any]] = {"cnn": _cnn, "gpt": _gpt, "tied": _tied}
