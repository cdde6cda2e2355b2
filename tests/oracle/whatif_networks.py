"""Seven small networks of the usual kinds, for benchmarks/whatif_table.py; none of them is used to write a rule.

NETWORKS: name -> (module, example inputs, target, loss).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """Two convolutions with batch norm and a shortcut."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(width, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out))
        self.short = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.b(self.a(x)) + self.short(x))


def cnn() -> nn.Module:
    """A residual network with batch norms."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, 1, 1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2), Residual(24, 48, 1),
        Residual(48, 96, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(96, 20),
    )  # fmt: skip


def mlp() -> nn.Module:
    """Three linear layers."""
    return nn.Sequential(nn.Linear(128, 256), nn.GELU(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 10))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int, is_causal: bool) -> None:
        super().__init__()
        self.heads, self.is_causal = heads, is_causal
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = (p.view(b, t, self.heads, -1).transpose(1, 2) for p in self.qkv(self.n1(x)).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.is_causal)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.mlp(self.n2(x))


class GPT(nn.Module):
    """A decoder with learned positions and its own output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(800, 96), nn.Embedding(48, 96)
        self.blocks = nn.ModuleList(Block(96, 6, True) for _ in range(3))
        self.norm, self.head = nn.LayerNorm(96), nn.Linear(96, 800, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.place(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Bert(nn.Module):
    """An encoder with attention written out, dropout everywhere and norms after the sums."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.drop = nn.Embedding(600, 96), nn.LayerNorm(96), nn.Dropout(0.1)
        self.place = nn.Parameter(torch.zeros(1, 40, 96))
        self.q, self.k, self.v, self.o = (nn.ModuleList(nn.Linear(96, 96) for _ in range(2)) for _ in range(4))
        self.n1, self.n2 = (nn.ModuleList(nn.LayerNorm(96) for _ in range(2)) for _ in range(2))
        self.up, self.down = (nn.ModuleList(nn.Linear(*s) for _ in range(2)) for s in ((96, 384), (384, 96)))
        self.head = nn.Linear(96, 4)

    def attend(self, x: Tensor, i: int) -> Tensor:
        b, t, c = x.shape
        q, k, v = (m[i](x).view(b, t, 4, -1).transpose(1, 2) for m in (self.q, self.k, self.v))
        weights = self.drop(torch.softmax(q @ k.transpose(-2, -1) / (c // 4) ** 0.5, dim=-1))
        return self.o[i]((weights @ v).transpose(1, 2).reshape(b, t, c))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.drop(self.norm(self.embed(ids) + self.place))
        for i in range(2):
            x = self.n1[i](x + self.drop(self.attend(x, i)))
            x = self.n2[i](x + self.drop(self.down[i](F.gelu(self.up[i](x)))))
        return self.head(torch.tanh(x[:, 0]))


class Reader(nn.Module):
    """A bidirectional LSTM that reads a sequence and classifies it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = nn.Embedding(400, 64), nn.LSTM(64, 80, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(160, 5)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.lstm(self.embed(ids))[0].mean(1))


class ViT(nn.Module):
    """Patches, a class token and three blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 96, 4, 4)
        self.token, self.place = nn.Parameter(torch.zeros(1, 1, 96)), nn.Parameter(torch.zeros(1, 65, 96))
        self.blocks = nn.Sequential(*(Block(96, 4, False) for _ in range(3)))
        self.norm, self.head = nn.LayerNorm(96), nn.Linear(96, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        return self.head(self.norm(self.blocks(x))[:, 0])


class UNet(nn.Module):
    """Two levels down and up, joined by concatenation."""

    def __init__(self) -> None:
        super().__init__()

        def pair(a: int, b: int) -> nn.Module:
            layers: list[nn.Module] = []
            for width in (a, b):
                layers += [nn.Conv2d(width, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
            return nn.Sequential(*layers)

        self.d1, self.d2, self.mid = pair(3, 16), pair(16, 32), pair(32, 64)
        self.up2, self.up1 = nn.ConvTranspose2d(64, 32, 2, 2), nn.ConvTranspose2d(32, 16, 2, 2)
        self.u2, self.u1, self.head = pair(64, 32), pair(32, 16), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.d1(x)
        b = self.d2(F.max_pool2d(a, 2))
        y = self.u2(torch.cat([self.up2(self.mid(F.max_pool2d(b, 2))), b], 1))
        return self.head(self.u1(torch.cat([self.up1(y), a], 1)))


def _ids(vocabulary: int, *shape: int) -> Tensor:
    return torch.randint(0, vocabulary, shape)


NETWORKS: dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...], Tensor, str]]] = {
    "cnn": lambda: (cnn(), (torch.randn(8, 3, 32, 32),), _ids(20, 8), "cross_entropy"),
    "mlp": lambda: (mlp(), (torch.randn(64, 128),), torch.randn(64, 10), "mse"),
    "gpt": lambda: (GPT(), (_ids(800, 4, 48),), _ids(800, 4, 48), "cross_entropy"),
    "bert": lambda: (Bert(), (_ids(600, 8, 40),), _ids(4, 8), "cross_entropy"),
    "lstm": lambda: (Reader(), (_ids(400, 8, 20),), _ids(5, 8), "cross_entropy"),
    "vit": lambda: (ViT(), (torch.randn(8, 3, 32, 32),), _ids(10, 8), "cross_entropy"),
    "unet": lambda: (UNet(), (torch.randn(4, 3, 32, 32),), _ids(4, 4, 32, 32), "cross_entropy"),
}
