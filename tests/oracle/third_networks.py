"""A third set of networks, written when the rules of the first two stood: what the first run on them says is unseen.

THIRD: name -> (module, example inputs, target, loss).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Case = tuple[nn.Module, tuple[Tensor, ...], Tensor, str]


class ResNeXt(nn.Module):
    """Bottlenecks with groups, squeeze and excitation by linear layers, a max pool stem."""

    class Block(nn.Module):
        def __init__(self, i: int, o: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(i, 32, 1, bias=False), nn.BatchNorm2d(32)
            self.conv2, self.bn2 = nn.Conv2d(32, 32, 3, stride, 1, groups=8, bias=False), nn.BatchNorm2d(32)
            self.conv3, self.bn3 = nn.Conv2d(32, o, 1, bias=False), nn.BatchNorm2d(o)
            self.fc1, self.fc2 = nn.Linear(o, o // 8), nn.Linear(o // 8, o)
            self.relu = nn.ReLU()
            self.downsample = None
            if stride != 1 or i != o:
                self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

        def forward(self, x: Tensor) -> Tensor:
            identity = x
            out = self.relu(self.bn1(self.conv1(x)))
            out = self.relu(self.bn2(self.conv2(out)))
            out = self.bn3(self.conv3(out))
            s = out.mean(dim=(2, 3))
            s = torch.sigmoid(self.fc2(F.relu(self.fc1(s))))
            out = out * s[:, :, None, None]
            if self.downsample is not None:
                identity = self.downsample(x)
            out = out + identity
            return self.relu(out)

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 32, 7, 2, 3, bias=False), nn.BatchNorm2d(32)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(self.Block(32, 64, 1), self.Block(64, 64, 1))
        self.layer2 = nn.Sequential(self.Block(64, 128, 2))
        self.avg, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        x = self.avg(x)
        x = torch.flatten(x, 1)
        return self.fc(x)


class TextCNN(nn.Module):
    """Convolutions of several widths over embeddings, max over time."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(500, 48)
        self.convs = nn.ModuleList([nn.Conv2d(1, 24, (k, 48)) for k in (3, 4, 5)])
        self.dropout, self.fc = nn.Dropout(0.5), nn.Linear(72, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x).unsqueeze(1)
        x = [F.relu(conv(x)).squeeze(3) for conv in self.convs]
        x = [F.max_pool1d(i, i.size(2)).squeeze(2) for i in x]
        x = torch.cat(x, 1)
        return self.fc(self.dropout(x))


class LastHidden(nn.Module):
    """A classifier that reads the last hidden states of a bidirectional LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(300, 32)
        self.lstm = nn.LSTM(32, 40, num_layers=2, bidirectional=True, batch_first=True)
        self.fc1, self.fc2 = nn.Linear(80, 64), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        _, (h, _) = self.lstm(x)
        h = torch.cat((h[-2], h[-1]), dim=1)
        return self.fc2(F.relu(self.fc1(h)))


class CRNN(nn.Module):
    """Text recognition: convolutions, then recurrent layers over columns."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(1, 32, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2, 2), nn.Conv2d(32, 48, 3, 1, 1), nn.BatchNorm2d(48),
            nn.ReLU(), nn.MaxPool2d((2, 1), (2, 1)), nn.Conv2d(48, 48, (4, 1)), nn.ReLU(),
        )  # fmt: skip
        self.rnn = nn.GRU(48, 32, bidirectional=True)
        self.linear = nn.Linear(64, 20)

    def forward(self, x: Tensor) -> Tensor:
        conv = self.cnn(x)
        conv = conv.squeeze(2)
        conv = conv.permute(2, 0, 1)
        recurrent, _ = self.rnn(conv)
        t, b, h = recurrent.size()
        output = self.linear(recurrent.view(t * b, h))
        return output.view(t, b, -1)


class DETR(nn.Module):
    """Set prediction: a small backbone, nn.Transformer with learned queries."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU())
        self.proj = nn.Conv2d(32, 32, 1)
        self.transformer = nn.Transformer(32, 4, 1, 1, 64, batch_first=True)
        self.query = nn.Parameter(torch.rand(10, 32))
        self.pos = nn.Parameter(torch.rand(1, 64, 32))
        self.cls = nn.Linear(32, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(self.backbone(x))
        h = x.flatten(2).permute(0, 2, 1) + self.pos
        q = self.query.unsqueeze(0).repeat(h.shape[0], 1, 1)
        return self.cls(self.transformer(h, q))


class EinsumAttention(nn.Module):
    """Attention in Einstein notation, with talking heads."""

    def __init__(self) -> None:
        super().__init__()
        self.inp = nn.Linear(24, 48)
        self.norm = nn.LayerNorm(48)
        self.wq, self.wk, self.wv = (nn.Parameter(torch.randn(48, 4, 12) * 0.1) for _ in range(3))
        self.wo = nn.Parameter(torch.randn(4, 12, 48) * 0.1)
        self.talk = nn.Parameter(torch.eye(4))
        self.head = nn.Linear(48, 9)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inp(x)
        h = self.norm(x)
        q = torch.einsum("btd,dhk->bhtk", h, self.wq)
        k = torch.einsum("btd,dhk->bhtk", h, self.wk)
        v = torch.einsum("btd,dhk->bhtk", h, self.wv)
        scores = torch.einsum("bhtk,bhsk->bhts", q, k) / 12**0.5
        scores = torch.einsum("bhts,hg->bgts", scores, self.talk)
        y = torch.einsum("bhts,bhsk->bhtk", scores.softmax(dim=-1), v)
        x = x + torch.einsum("bhtk,hkd->btd", y, self.wo)
        return self.head(x)


class NextBlock(nn.Module):
    """Channels-last blocks: permute, layer norm, linear layers, a learned scale, stochastic depth left out."""

    class Block(nn.Module):
        def __init__(self, d: int) -> None:
            super().__init__()
            self.dw, self.norm = nn.Conv2d(d, d, 7, padding=3, groups=d), nn.LayerNorm(d, eps=1e-6)
            self.pw1, self.act, self.pw2 = nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d)
            self.gamma = nn.Parameter(1e-6 * torch.ones(d))

        def forward(self, x: Tensor) -> Tensor:
            shortcut = x
            x = self.dw(x)
            x = x.permute(0, 2, 3, 1)
            x = self.norm(x)
            x = self.pw1(x)
            x = self.act(x)
            x = self.pw2(x)
            x = self.gamma * x
            x = x.permute(0, 3, 1, 2)
            return shortcut + x

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 4, 4)
        self.blocks = nn.Sequential(self.Block(24), self.Block(24))
        self.down = nn.Sequential(nn.GroupNorm(1, 24), nn.Conv2d(24, 48, 2, 2))
        self.last, self.norm, self.head = self.Block(48), nn.LayerNorm(48), nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.down(self.blocks(self.stem(x))))
        return self.head(self.norm(x.mean([-2, -1])))


class PSP(nn.Module):
    """Pyramid pooling with pooled sizes, an auxiliary path that is not returned, per-pixel classes."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True),
            nn.Conv2d(24, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.stages = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(s), nn.Conv2d(32, 8, 1, bias=False), nn.ReLU(inplace=True))
            for s in (1, 2, 4)
        )
        self.bottleneck = nn.Sequential(
            nn.Conv2d(56, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True), nn.Dropout2d(0.1)
        )
        self.classifier = nn.Conv2d(32, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.size(2), x.size(3)
        feats = self.down(x)
        priors = [feats]
        for stage in self.stages:
            priors.append(F.interpolate(stage(feats), size=feats.shape[2:], mode="bilinear", align_corners=True))
        out = self.bottleneck(torch.cat(priors, dim=1))
        out = self.classifier(out)
        return F.interpolate(out, size=(h, w), mode="bilinear", align_corners=True)


class UNetPlus(nn.Module):
    """U-Net with leaky activations and instance norm, strided convolutions, skips by addition."""

    def __init__(self) -> None:
        super().__init__()

        def unit(i: int, o: int, s: int = 1) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(i, o, 3, s, 1), nn.InstanceNorm2d(o, affine=True), nn.LeakyReLU(0.01))

        self.e1, self.e2, self.e3 = unit(1, 16), unit(16, 32, 2), unit(32, 64, 2)
        self.u2, self.u1 = nn.ConvTranspose2d(64, 32, 2, 2), nn.ConvTranspose2d(32, 16, 2, 2)
        self.d2, self.d1, self.out = unit(32, 32), unit(16, 16), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip1 = self.e1(x)
        skip2 = self.e2(skip1)
        bottom = self.e3(skip2)
        y = self.d2(self.u2(bottom) + skip2)
        y = self.d1(self.u1(y) + skip1)
        return self.out(y)


class LlamaLike(nn.Module):
    """Rotary embedding by complex pairs written out, RMS norm by hand, SwiGLU, causal mask added."""

    class Norm(nn.Module):
        def __init__(self, d: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(d))

        def forward(self, x: Tensor) -> Tensor:
            output = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)
            return output.type_as(x) * self.weight

    def __init__(self) -> None:
        super().__init__()
        self.tok = nn.Embedding(400, 64)
        self.n1, self.n2, self.n3 = self.Norm(64), self.Norm(64), self.Norm(64)
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(64, 64, bias=False) for _ in range(4))
        self.w1, self.w3, self.w2 = (
            nn.Linear(64, 128, bias=False), nn.Linear(64, 128, bias=False), nn.Linear(128, 64, bias=False)
        )  # fmt: skip
        self.out = nn.Linear(64, 400, bias=False)
        freq = torch.outer(torch.arange(24.0), 1e4 ** (-torch.arange(0, 16, 2) / 16))
        self.register_buffer("cos", freq.cos()[None, :, None, :], persistent=False)
        self.register_buffer("sin", freq.sin()[None, :, None, :], persistent=False)

    def rope(self, x: Tensor) -> Tensor:
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * self.cos - odd * self.sin, even * self.sin + odd * self.cos), dim=-1).flatten(3)

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.tok(tokens)
        b, t, _ = h.shape
        x = self.n1(h)
        xq, xk, xv = self.wq(x), self.wk(x), self.wv(x)
        xq, xk, xv = (v.view(b, t, 4, 16) for v in (xq, xk, xv))
        xq, xk = self.rope(xq), self.rope(xk)
        xq, xk, xv = xq.transpose(1, 2), xk.transpose(1, 2), xv.transpose(1, 2)
        scores = torch.matmul(xq, xk.transpose(2, 3)) / 4.0
        mask = torch.triu(torch.full((t, t), float("-inf")), diagonal=1)
        scores = F.softmax((scores + mask).float(), dim=-1).type_as(xq)
        output = torch.matmul(scores, xv).transpose(1, 2).contiguous().view(b, t, -1)
        h = h + self.wo(output)
        x = self.n2(h)
        h = h + self.w2(F.silu(self.w1(x)) * self.w3(x))
        return self.out(self.n3(h))


class Siamese(nn.Module):
    """One encoder run on two inputs, their distance classified."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(512, 64), nn.Sigmoid(),
        )  # fmt: skip
        self.out = nn.Linear(64, 2)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        x, y = self.encoder(a), self.encoder(b)
        return self.out(torch.abs(x - y))


class Highway(nn.Module):
    """Highway layers, softplus gates, a mixture of softmaxes."""

    def __init__(self) -> None:
        super().__init__()
        self.inp = nn.Linear(40, 64)
        self.t, self.h = (nn.ModuleList(nn.Linear(64, 64) for _ in range(3)) for _ in range(2))
        self.pi, self.heads = nn.Linear(64, 3), nn.Linear(64, 30)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.inp(x))
        for gate, layer in zip(self.t, self.h, strict=True):
            t = torch.sigmoid(gate(x))
            x = t * F.softplus(layer(x)) + (1 - t) * x
        mix = F.softmax(self.pi(x), dim=1)
        logits = self.heads(x).view(-1, 3, 10)
        return torch.log((mix.unsqueeze(2) * logits.softmax(dim=2)).sum(1) + 1e-8)


def _images(classes: int = 10, size: int = 48, channels: int = 3) -> tuple[tuple[Tensor, ...], Tensor]:
    return (torch.randn(4, channels, size, size),), torch.randint(0, classes, (4,))


def _case(module: nn.Module, inputs: tuple[Tensor, ...], target: Tensor, loss: str = "cross_entropy") -> Case:
    return module, inputs, target, loss


THIRD: dict[str, Callable[[], Case]] = {
    "resnext": lambda: _case(ResNeXt(), *_images()),
    "text_cnn": lambda: _case(TextCNN(), (torch.randint(0, 500, (4, 30)),), torch.randint(0, 5, (4,))),
    "last_hidden": lambda: _case(LastHidden(), (torch.randint(0, 300, (4, 20)),), torch.randint(0, 4, (4,))),
    "crnn": lambda: _case(CRNN(), (torch.randn(4, 1, 16, 48),), torch.randint(0, 20, (24, 4))),
    "detr": lambda: _case(DETR(), (torch.randn(2, 3, 32, 32),), torch.randint(0, 7, (2, 10))),
    "einsum": lambda: _case(EinsumAttention(), (torch.randn(4, 20, 24),), torch.randint(0, 9, (4, 20))),
    "next_block": lambda: _case(NextBlock(), *_images()),
    "psp": lambda: _case(PSP(), (torch.randn(2, 3, 48, 48),), torch.randint(0, 6, (2, 48, 48))),
    "unet_leaky": lambda: _case(UNetPlus(), (torch.randn(2, 1, 48, 48),), torch.randint(0, 4, (2, 48, 48))),
    "llama_like": lambda: _case(LlamaLike(), (torch.randint(0, 400, (4, 24)),), torch.randint(0, 400, (4, 24))),
    "siamese": lambda: _case(
        Siamese(), (torch.randn(4, 1, 28, 28), torch.randn(4, 1, 28, 28)), torch.randint(0, 2, (4,))
    ),
    "highway": lambda: _case(Highway(), (torch.randn(16, 40),), torch.randint(0, 10, (16,))),
}
