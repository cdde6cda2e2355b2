"""Networks of our own that training is measured on: small, and each with something that the others lack.

NETWORKS: name -> (module, example inputs, target, loss).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Case = tuple[nn.Module, tuple[Tensor, ...], Tensor, str]


class Dense(nn.Module):
    """DenseNet: every layer reads all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList()
        width = 16
        for _ in range(4):
            self.blocks.append(
                nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 12, 3, padding=1, bias=False))
            )
            width += 12
        self.transition = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)
        )
        self.head = nn.Linear(width // 2, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = torch.cat([x, block(x)], 1)
        x = self.transition(x)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Squeeze(nn.Module):
    """Squeeze and excitation, hard swish, depthwise convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish())
        self.expand = nn.Sequential(nn.Conv2d(16, 64, 1, bias=False), nn.BatchNorm2d(64), nn.Hardswish())
        self.depth = nn.Sequential(
            nn.Conv2d(64, 64, 5, 2, 2, groups=64, bias=False), nn.BatchNorm2d(64), nn.Hardswish()
        )
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(64, 16, 1), nn.ReLU(), nn.Conv2d(16, 64, 1), nn.Hardsigmoid()
        )
        self.project = nn.Sequential(nn.Conv2d(64, 24, 1, bias=False), nn.BatchNorm2d(24))
        self.head = nn.Sequential(nn.Linear(24, 64), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = self.depth(self.expand(self.stem(x)))
        x = self.project(x * self.gate(x))
        return self.head(x.mean((2, 3)))


class Shuffle(nn.Module):
    """Channel split and shuffle."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(16, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
                nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False), nn.BatchNorm2d(16),
                nn.Conv2d(16, 16, 1, bias=False), nn.BatchNorm2d(16), nn.LeakyReLU(0.1),
            )
            for _ in range(3)
        )  # fmt: skip
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for branch in self.branches:
            a, b = x.chunk(2, 1)
            x = torch.cat([a, branch(b)], 1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(self.pool(x).amax((2, 3)))


class Window(nn.Module):
    """Window attention with a shift and a relative bias, as in Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 48, 4, 4)
        self.norm1, self.norm2 = nn.LayerNorm(48), nn.LayerNorm(48)
        self.qkv, self.proj = nn.Linear(48, 144), nn.Linear(48, 48)
        self.bias = nn.Parameter(torch.zeros(3, 16, 16))
        self.mlp = nn.Sequential(nn.Linear(48, 192), nn.GELU(), nn.Linear(192, 48))
        self.head = nn.Linear(48, 10)

    def attend(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        x = torch.roll(x, (-2, -2), (1, 2))
        x = x.view(b, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        q, k, v = self.qkv(x).reshape(-1, 16, 3, 3, 16).permute(2, 0, 3, 1, 4)
        a = (q * 16**-0.5) @ k.transpose(-2, -1) + self.bias
        x = (a.softmax(-1) @ v).transpose(1, 2).reshape(-1, 16, c)
        x = self.proj(x).view(b, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
        return torch.roll(x, (2, 2), (1, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).permute(0, 2, 3, 1)
        x = x + self.attend(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return self.head(x.mean((1, 2)))


class Pyramid(nn.Module):
    """Segmentation: dilated branches, image pooling, bilinear upsampling, per-pixel classes."""

    def __init__(self) -> None:
        super().__init__()

        def unit(i: int, o: int, k: int = 3, s: int = 1, d: int = 1) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(i, o, k, s, (k // 2) * d, d, bias=False), nn.BatchNorm2d(o), nn.ReLU())

        self.down = nn.Sequential(unit(3, 16, s=2), unit(16, 32, s=2))
        self.branches = nn.ModuleList([unit(32, 16, 1), unit(32, 16, d=2), unit(32, 16, d=4)])
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(32, 16, 1), nn.ReLU())
        self.merge = nn.Sequential(unit(64, 32, 1), nn.Dropout(0.1))
        self.head = nn.Conv2d(32, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        x = self.down(x)
        rows = [branch(x) for branch in self.branches]
        rows.append(F.interpolate(self.pool(x), x.shape[-2:], mode="bilinear", align_corners=False))
        return F.interpolate(self.head(self.merge(torch.cat(rows, 1))), size, mode="bilinear", align_corners=False)


class GroupUNet(nn.Module):
    """Group norm, SiLU, transposed convolution, skip connections, a regression target."""

    def __init__(self) -> None:
        super().__init__()

        def unit(i: int, o: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.GroupNorm(4, o), nn.SiLU())

        self.a, self.b, self.c, self.d = unit(3, 16), unit(16, 32), unit(32, 64), unit(64, 32)
        self.up1, self.up2 = nn.ConvTranspose2d(64, 32, 2, 2), nn.ConvTranspose2d(32, 16, 2, 2)
        self.out = nn.Conv2d(32, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        b = self.b(F.max_pool2d(a, 2))
        c = self.c(F.max_pool2d(b, 2))
        d = self.d(torch.cat([self.up1(c), b], 1))
        return self.out(torch.cat([self.up2(d), a], 1))


class Encoder(nn.Module):
    """torch's own encoder layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(500, 64)
        self.place = nn.Parameter(torch.zeros(1, 32, 64))
        layer = nn.TransformerEncoderLayer(64, 4, 128, 0.1, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.embed(x) + self.place)[:, 0])


class Speech(nn.Module):
    """1-D convolutions, bidirectional GRU of two layers with dropout between."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(nn.Conv1d(20, 32, 5, padding=2), nn.BatchNorm1d(32), nn.ReLU(), nn.MaxPool1d(2))
        self.gru = nn.GRU(32, 48, 2, batch_first=True, bidirectional=True, dropout=0.2)
        self.head = nn.Linear(96, 30)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(self.front(x).transpose(1, 2))[0])


class TiedLSTM(nn.Module):
    """A language model whose output layer is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(800, 64)
        self.drop = nn.Dropout(0.3)
        self.lstm = nn.LSTM(64, 64, 2, batch_first=True)
        self.head = nn.Linear(64, 800)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(self.drop(self.embed(x)))
        return self.head(self.drop(out))


class Mixer(nn.Module):
    """MLPs over tokens and over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 64, 8, 8)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({
                "n1": nn.LayerNorm(64), "t": nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64)),
                "n2": nn.LayerNorm(64), "c": nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64)),
            })
            for _ in range(2)
        )  # fmt: skip
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = x + block["t"](block["n1"](x).transpose(1, 2)).transpose(1, 2)
            x = x + block["c"](block["n2"](x))
        return self.head(self.norm(x).mean(1))


class Conformer(nn.Module):
    """Gated linear units, depthwise 1-D convolution, half residuals."""

    def __init__(self) -> None:
        super().__init__()
        self.inp = nn.Linear(40, 64)
        self.ff = nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 256), nn.SiLU(), nn.Linear(256, 64))
        self.norm = nn.LayerNorm(64)
        self.point1, self.depth = nn.Conv1d(64, 128, 1), nn.Conv1d(64, 64, 7, padding=3, groups=64)
        self.bn, self.point2 = nn.BatchNorm1d(64), nn.Conv1d(64, 64, 1)
        self.head = nn.Linear(64, 20)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inp(x)
        x = x + 0.5 * self.ff(x)
        y = F.glu(self.point1(self.norm(x).transpose(1, 2)), 1)
        x = x + self.point2(F.silu(self.bn(self.depth(y)))).transpose(1, 2)
        return self.head(x)


class Super(nn.Module):
    """Super resolution: PReLU, pixel shuffle, a global skip."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 32, 5, padding=2), nn.PReLU(32))
        self.body = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.PReLU(), nn.Conv2d(32, 32, 3, padding=1))
        self.last = nn.Sequential(nn.Conv2d(32, 12, 3, padding=1), nn.PixelShuffle(2), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(x + self.body(x))


class Wave(nn.Module):
    """Gated dilated convolutions with skip connections summed at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.inp = nn.Conv1d(1, 24, 1)
        self.gates = nn.ModuleList(nn.Conv1d(24, 48, 3, padding=2**i, dilation=2**i) for i in range(4))
        self.res = nn.ModuleList(nn.Conv1d(24, 24, 1) for _ in range(4))
        self.skip = nn.ModuleList(nn.Conv1d(24, 32, 1) for _ in range(4))
        self.out = nn.Conv1d(32, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inp(x)
        total = 0
        for gate, res, skip in zip(self.gates, self.res, self.skip, strict=True):
            a, b = gate(x).chunk(2, 1)
            z = torch.tanh(a) * torch.sigmoid(b)
            total = total + skip(z)
            x = x + res(z)
        return self.out(F.relu(total))


class Rotary(nn.Module):
    """A decoder with RMS norm, rotary embedding, grouped keys, fused attention and a gated MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(600, 64)
        self.n1, self.n2 = nn.RMSNorm(64), nn.RMSNorm(64)
        self.q, self.k, self.v = (
            nn.Linear(64, 64, bias=False),
            nn.Linear(64, 32, bias=False),
            nn.Linear(64, 32, bias=False),
        )
        self.o = nn.Linear(64, 64, bias=False)
        self.gate, self.up, self.down = (
            nn.Linear(64, 160, bias=False),
            nn.Linear(64, 160, bias=False),
            nn.Linear(160, 64, bias=False),
        )
        self.head = nn.Linear(64, 600, bias=False)
        angle = torch.outer(torch.arange(32.0), 1e4 ** (-torch.arange(0, 16, 2) / 16))
        self.register_buffer("cos", torch.cat([angle, angle], -1).cos())
        self.register_buffer("sin", torch.cat([angle, angle], -1).sin())

    def rotate(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, -1)
        return x * self.cos + torch.cat([-b, a], -1) * self.sin

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        b, t, _ = x.shape
        h = self.n1(x)
        q = self.q(h).view(b, t, 4, 16).transpose(1, 2)
        k = self.k(h).view(b, t, 2, 16).transpose(1, 2).repeat_interleave(2, 1)
        v = self.v(h).view(b, t, 2, 16).transpose(1, 2).repeat_interleave(2, 1)
        y = F.scaled_dot_product_attention(self.rotate(q), self.rotate(k), v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).reshape(b, t, 64))
        h = self.n2(x)
        return self.head(x + self.down(F.silu(self.gate(h)) * self.up(h)))


def _images(classes: int = 10, size: int = 32) -> tuple[tuple[Tensor, ...], Tensor]:
    return (torch.randn(4, 3, size, size),), torch.randint(0, classes, (4,))


def _transformers(name: str, **config: Any) -> nn.Module:
    import transformers

    settings = getattr(transformers, f"{name}Config")(**config.pop("config"))
    inner = getattr(transformers, config["head"])(settings)

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.m = inner

        def forward(self, x: Tensor) -> Tensor:
            return self.m(x, **config.get("call", {})).logits

    return Logits()


def _distilbert() -> Case:
    config = {
        "vocab_size": 500,
        "dim": 64,
        "n_heads": 4,
        "n_layers": 2,
        "hidden_dim": 128,
        "max_position_embeddings": 64,
        "num_labels": 6,
    }
    module = _transformers("DistilBert", config=config, head="DistilBertForSequenceClassification")
    return module, (torch.randint(0, 500, (4, 32)),), torch.randint(0, 6, (4,)), "cross_entropy"


def _segformer() -> Case:
    config = {
        "hidden_sizes": [16, 32, 48, 64],
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 2, 3, 4],
        "decoder_hidden_size": 32,
        "num_labels": 5,
    }
    module = _transformers("Segformer", config=config, head="SegformerForSemanticSegmentation")
    return module, (torch.randn(2, 3, 64, 64),), torch.randint(0, 5, (2, 16, 16)), "cross_entropy"


def _plain(
    make: Callable[[], nn.Module], inputs: tuple[Tensor, ...], target: Tensor, loss: str = "cross_entropy"
) -> Case:
    return make(), inputs, target, loss


NETWORKS: dict[str, Callable[[], Case]] = {
    "dense": lambda: _plain(Dense, *_images()),
    "squeeze": lambda: _plain(Squeeze, *_images()),
    "shuffle": lambda: _plain(Shuffle, *_images()),
    "window": lambda: _plain(Window, *_images()),
    "pyramid": lambda: _plain(Pyramid, (torch.randn(4, 3, 48, 48),), torch.randint(0, 5, (4, 48, 48))),
    "group_unet": lambda: _plain(GroupUNet, (torch.randn(4, 3, 32, 32),), torch.randn(4, 3, 32, 32), "mse"),
    "encoder": lambda: _plain(Encoder, (torch.randint(0, 500, (4, 32)),), torch.randint(0, 10, (4,))),
    "speech": lambda: _plain(Speech, (torch.randn(4, 20, 40),), torch.randint(0, 30, (4, 20))),
    "tied_lstm": lambda: _plain(TiedLSTM, (torch.randint(0, 800, (4, 24)),), torch.randint(0, 800, (4, 24))),
    "mixer": lambda: _plain(Mixer, (torch.randn(4, 3, 64, 64),), torch.randint(0, 10, (4,))),
    "conformer": lambda: _plain(Conformer, (torch.randn(4, 50, 40),), torch.randint(0, 20, (4, 50))),
    "super": lambda: _plain(Super, (torch.randn(2, 3, 24, 24),), torch.randn(2, 3, 48, 48), "l1"),
    "wave": lambda: _plain(Wave, (torch.randn(4, 1, 300),), torch.randn(4, 16, 300), "mse"),
    "rotary": lambda: _plain(Rotary, (torch.randint(0, 600, (4, 32)),), torch.randint(0, 600, (4, 32))),
    "distilbert": _distilbert,
    "segformer": _segformer,
}
