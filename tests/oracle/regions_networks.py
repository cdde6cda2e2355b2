"""Networks with regions without gradient, parametrized weights, scattering, sorting, and states in lists and loops.

REGIONS: name -> (module, example inputs, target, loss).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

Case = tuple[nn.Module, tuple[Tensor, ...], Tensor, str]


class Teacher(nn.Module):
    """A student, and a teacher that is run without gradient; a third head that is behind a detach."""

    def __init__(self, d: int = 48) -> None:
        super().__init__()
        self.student = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))
        self.teacher = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))
        self.predict, self.probe = nn.Linear(d, d), nn.Linear(d, 7)

    @torch.no_grad()
    def target(self, x: Tensor) -> Tensor:
        hidden = self.teacher(x)
        return F.normalize(hidden, dim=-1)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        z = self.student(x)
        with torch.no_grad():
            t = self.teacher(y)
            t = (t - t.mean(0)) / (t.std(0) + 1.0)
        p = F.normalize(self.predict(z), dim=-1)
        return p * self.target(y) + p * t, self.probe(z.detach())


class Quantizer(nn.Module):
    """Vector quantization: distances to a codebook, the nearest by index, a straight-through estimate."""

    def __init__(self, codes: int = 64, d: int = 32) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(24, d), nn.Linear(d, 24)
        self.codebook = nn.Embedding(codes, d)

    def forward(self, x: Tensor) -> Tensor:
        z = self.encode(x)
        with torch.no_grad():
            distance = torch.cdist(z.flatten(0, 1), self.codebook.weight)
            nearest = distance.argmin(-1)
        quantized = self.codebook(nearest).view_as(z)
        commitment = (quantized - z.detach()).pow(2).mean() + (quantized.detach() - z).pow(2).mean()
        through = z + (quantized - z).detach()
        return self.decode(through) + commitment


class Messages(nn.Module):
    """Messages between the nodes of a graph: index_add, scatter_add, a norm per row, the highest nodes kept."""

    def __init__(self, d: int = 24) -> None:
        super().__init__()
        self.edge, self.node, self.score = nn.Linear(2 * d, d), nn.Linear(2 * d, d), nn.Linear(d, 1)

    def forward(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        message = F.silu(self.edge(torch.cat([x[source], x[target]], -1)))
        total = torch.zeros_like(x).index_add(0, target, message)
        degree = torch.zeros(x.shape[0]).scatter_add(0, target, torch.ones_like(target, dtype=torch.float32))
        x = self.node(torch.cat([x, total / degree.clamp(min=1).unsqueeze(-1)], -1))
        x = x / x.norm(dim=-1, keepdim=True)
        score, order = torch.sort(self.score(x).squeeze(-1), descending=True)
        return x[order[:20]] * torch.tanh(score[:20]).unsqueeze(-1)


class Causal(nn.Module):
    """Dilated convolutions with weight normalization, two to a block, a residual sum."""

    def __init__(self, d: int = 24) -> None:
        super().__init__()
        self.first = nn.ModuleList([parametrizations.weight_norm(nn.Conv1d(d, d, 3, dilation=2**i)) for i in range(3)])
        self.out = parametrizations.weight_norm(nn.ConvTranspose1d(d, 5, 4, 2))

    def forward(self, x: Tensor) -> Tensor:
        for i, conv in enumerate(self.first):
            y = F.relu(conv(F.pad(x, (2 * 2**i, 0))))
            x = x + y
        return self.out(x)


class Discriminator(nn.Module):
    """Spectral normalization of convolutions and of a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        norm = parametrizations.spectral_norm
        self.features = nn.Sequential(
            norm(nn.Conv2d(3, 16, 4, 2, 1)), nn.LeakyReLU(0.2),
            norm(nn.Conv2d(16, 32, 4, 2, 1)), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.out = norm(nn.Linear(32 * 8 * 8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.features(x).flatten(1))


class Cells(nn.Module):
    """Recurrent cells by hand: the states of all layers in a list, the outputs in another."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.cells = nn.ModuleList([nn.GRUCell(d, d), nn.GRUCell(d, d)])
        self.out = nn.Linear(d, d)

    def forward(self, x: Tensor) -> Tensor:
        states = [x.new_zeros(x.shape[0], x.shape[2]) for _ in self.cells]
        outs = []
        for t in range(x.shape[1]):
            y = x[:, t]
            for n, cell in enumerate(self.cells):
                states[n] = cell(y, states[n])
                y = states[n]
            outs.append(self.out(y))
        return torch.stack(outs, 1)


class Shared(nn.Module):
    """One tower for three images, the skips of an hourglass in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(3 if i == 0 else 16, 16, 3, 2, 1) for i in range(3)])
        self.up = nn.ModuleList([nn.Conv2d(32, 16, 3, 1, 1) for _ in range(2)])

    def tower(self, x: Tensor) -> Tensor:
        skips = []
        for conv in self.down:
            x = F.elu(conv(x))
            skips.append(x)
        skips.pop()
        for conv in self.up:
            x = F.interpolate(x, scale_factor=2.0)
            x = F.elu(conv(torch.cat([x, skips.pop()], 1)))
        return x.mean((2, 3))

    def forward(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        first, second, third = self.tower(a), self.tower(b), self.tower(c)
        return (first - second).pow(2) - (first - third).pow(2)


class Relative(nn.Module):
    """Attention in einsums, with a bias of relative positions."""

    def __init__(self, d: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Parameter(torch.randn(d, heads, d // heads) * 0.1) for _ in range(4))
        self.bias = nn.Embedding(31, heads)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (torch.einsum("bid,dhn->bihn", x, w) for w in (self.q, self.k, self.v))
        at = torch.arange(x.shape[1])
        bias = self.bias((at[:, None] - at[None, :] + 15).clamp(0, 30))
        scores = torch.einsum("bihn,bjhn->bhij", q, k) + bias.permute(2, 0, 1)
        weights = F.dropout(scores.softmax(-1), 0.1, self.training)
        heads = torch.einsum("bhij,bjhn->bihn", weights, v)
        return torch.einsum("bihn,dhn->bid", heads, self.o)


def _rows(*shape: int) -> Tensor:
    return torch.randn(*shape)


REGIONS: dict[str, Callable[[], Case]] = {
    "teacher": lambda: (Teacher(), (_rows(64, 48), _rows(64, 48)), _rows(64, 48), "mse"),
    "quantizer": lambda: (Quantizer(), (_rows(8, 20, 24),), _rows(8, 20, 24), "mse"),
    "messages": lambda: (
        Messages(), (_rows(60, 24), torch.randint(0, 60, (400,)), torch.randint(0, 60, (400,))), _rows(20, 24), "mse",
    ),
    "weight_norm": lambda: (Causal(), (_rows(4, 24, 60),), _rows(4, 5, 122), "mse"),
    "spectral_norm": lambda: (
        Discriminator(), (_rows(6, 3, 32, 32),), torch.randint(0, 3, (6,)), "cross_entropy",
    ),
    "cells": lambda: (Cells(), (_rows(6, 9, 32),), _rows(6, 9, 32), "mse"),
    "shared": lambda: (Shared(), tuple(_rows(3, 3, 32, 32) for _ in range(3)), _rows(3, 16), "mse"),
    "relative": lambda: (Relative(), (_rows(4, 16, 32),), _rows(4, 16, 32), "mse"),
}  # fmt: skip
