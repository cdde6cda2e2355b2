"""A second set of networks that training is measured on, written in the ways that people write them.

BLIND: name -> (module, example inputs, target, loss). None of them was looked at while the rules were written.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Case = tuple[nn.Module, tuple[Tensor, ...], Tensor, str]


class Inception(nn.Module):
    """Branches of factorised convolutions, concatenated; average pool with padding; auxiliary dropout."""

    class Block(nn.Module):
        def __init__(self, c: int) -> None:
            super().__init__()

            def conv(i: int, o: int, k: Any, p: Any = 0) -> nn.Sequential:
                return nn.Sequential(
                    nn.Conv2d(i, o, k, padding=p, bias=False), nn.BatchNorm2d(o, eps=0.001), nn.ReLU(inplace=True)
                )

            self.b1 = conv(c, 16, 1)
            self.b3 = nn.Sequential(conv(c, 12, 1), conv(12, 16, (1, 7), (0, 3)), conv(16, 24, (7, 1), (3, 0)))
            self.b5 = nn.Sequential(conv(c, 8, 1), conv(8, 16, 5, 2))
            self.bp = nn.Sequential(nn.AvgPool2d(3, 1, 1), conv(c, 8, 1))

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.b1(x), self.b3(x), self.b5(x), self.bp(x)], 1)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 24, 3, 2, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)
        )
        self.a, self.b = self.Block(24), self.Block(64)
        self.pool, self.drop, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Dropout(), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.a(self.stem(x)))
        x = torch.flatten(self.drop(self.pool(x)), 1)
        return self.fc(x)


class SqueezeNet(nn.Module):
    """Fire modules and a convolutional classifier, ceil-mode pooling."""

    class Fire(nn.Module):
        def __init__(self, i: int, s: int, e: int) -> None:
            super().__init__()
            self.squeeze, self.act = nn.Conv2d(i, s, 1), nn.ReLU(inplace=True)
            self.expand1, self.act1 = nn.Conv2d(s, e, 1), nn.ReLU(inplace=True)
            self.expand3, self.act3 = nn.Conv2d(s, e, 3, padding=1), nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.act(self.squeeze(x))
            return torch.cat([self.act1(self.expand1(x)), self.act3(self.expand3(x))], 1)

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True),
            self.Fire(32, 8, 32), self.Fire(64, 8, 32), nn.MaxPool2d(3, 2, ceil_mode=True), self.Fire(64, 16, 48),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Conv2d(96, 10, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.classifier(self.features(x)), 1)


class AttentionUNet(nn.Module):
    """U-Net whose skips pass additive attention gates; upsampling by transposed convolution and by interpolation."""

    class Double(nn.Module):
        def __init__(self, i: int, o: int) -> None:
            super().__init__()
            self.net = nn.Sequential(
                nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(inplace=True),
                nn.Conv2d(o, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(inplace=True),
            )  # fmt: skip

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

    class Gate(nn.Module):
        def __init__(self, g: int, x: int, inner: int) -> None:
            super().__init__()
            self.wg = nn.Sequential(nn.Conv2d(g, inner, 1), nn.BatchNorm2d(inner))
            self.wx = nn.Sequential(nn.Conv2d(x, inner, 1), nn.BatchNorm2d(inner))
            self.psi = nn.Sequential(nn.Conv2d(inner, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())
            self.relu = nn.ReLU(inplace=True)

        def forward(self, g: Tensor, x: Tensor) -> Tensor:
            g1 = self.wg(g)
            x1 = self.wx(x)
            psi = self.relu(g1 + x1)
            psi = self.psi(psi)
            return x * psi

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2, 2)
        self.d1, self.d2, self.d3 = self.Double(3, 16), self.Double(16, 32), self.Double(32, 64)
        self.u2, self.u1 = (
            nn.ConvTranspose2d(64, 32, 2, 2),
            nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(32, 16, 3, padding=1)),
        )
        self.g2, self.g1 = self.Gate(32, 32, 16), self.Gate(16, 16, 8)
        self.c2, self.c1, self.out = self.Double(64, 32), self.Double(32, 16), nn.Conv2d(16, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.d1(x)
        x2 = self.d2(self.pool(x1))
        x3 = self.d3(self.pool(x2))
        y = self.u2(x3)
        y = self.c2(torch.cat((self.g2(y, x2), y), dim=1))
        y = self.u1(y)
        y = self.c1(torch.cat((self.g1(y, x1), y), dim=1))
        return self.out(y)


class BiRNN(nn.Module):
    """Embedding, two bidirectional layers with dropout between, packed into a tagger."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(400, 48, padding_idx=0)
        self.dropout = nn.Dropout(0.3)
        self.rnn = getattr(nn, kind)(48, 40, num_layers=2, batch_first=True, bidirectional=True, dropout=0.3)
        self.fc = nn.Linear(80, 12)

    def forward(self, text: Tensor) -> Tensor:
        embedded = self.dropout(self.embedding(text))
        output, _ = self.rnn(embedded)
        return self.fc(self.dropout(output))


class Seq2Seq(nn.Module):
    """Encoder GRU, a decoder with attention over the encoder's states at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(300, 32), nn.Embedding(300, 32)
        self.encoder = nn.GRU(32, 48, batch_first=True)
        self.cell = nn.GRUCell(32 + 48, 48)
        self.attn, self.v = nn.Linear(96, 48), nn.Linear(48, 1, bias=False)
        self.out = nn.Linear(96, 300)

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        states, hidden = self.encoder(self.source(src))
        hidden = hidden.squeeze(0)
        emb = self.target(tgt)
        outputs = []
        for t in range(tgt.shape[1]):
            query = hidden.unsqueeze(1).repeat(1, states.shape[1], 1)
            energy = torch.tanh(self.attn(torch.cat((query, states), dim=2)))
            weights = F.softmax(self.v(energy).squeeze(2), dim=1)
            context = torch.bmm(weights.unsqueeze(1), states).squeeze(1)
            hidden = self.cell(torch.cat((emb[:, t], context), dim=1), hidden)
            outputs.append(self.out(torch.cat((hidden, context), dim=1)))
        return torch.stack(outputs, dim=1)


class TCN(nn.Module):
    """Temporal convolutions with weight norm written out, causal padding that is cut off again, dropout."""

    class Block(nn.Module):
        def __init__(self, i: int, o: int, d: int) -> None:
            super().__init__()
            self.pad = 2 * d
            self.conv1 = nn.Conv1d(i, o, 3, padding=self.pad, dilation=d)
            self.conv2 = nn.Conv1d(o, o, 3, padding=self.pad, dilation=d)
            self.drop, self.relu = nn.Dropout(0.2), nn.ReLU()
            self.down = nn.Conv1d(i, o, 1) if i != o else None

        def forward(self, x: Tensor) -> Tensor:
            out = self.drop(self.relu(self.conv1(x)[:, :, : -self.pad].contiguous()))
            out = self.drop(self.relu(self.conv2(out)[:, :, : -self.pad].contiguous()))
            res = x if self.down is None else self.down(x)
            return self.relu(out + res)

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(self.Block(4, 24, 1), self.Block(24, 24, 2), self.Block(24, 32, 4))
        self.linear = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.net(x)[:, :, -1])


class Video(nn.Module):
    """3-D convolutions with residuals."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, 16, (3, 5, 5), (1, 2, 2), (1, 2, 2), bias=False), nn.BatchNorm3d(16), nn.ReLU(inplace=True)
        )
        self.conv1, self.bn1 = nn.Conv3d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm3d(32)
        self.conv2, self.bn2 = nn.Conv3d(32, 32, 3, 1, 1, bias=False), nn.BatchNorm3d(32)
        self.down = nn.Sequential(nn.Conv3d(16, 32, 1, 2, bias=False), nn.BatchNorm3d(32))
        self.relu, self.pool, self.fc = nn.ReLU(inplace=True), nn.AdaptiveAvgPool3d(1), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        identity = self.down(x)
        out += identity
        out = self.relu(out)
        return self.fc(self.pool(out).flatten(1))


class Generator(nn.Module):
    """DCGAN's generator."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(32, 64, 4, 1, 0, bias=False), nn.BatchNorm2d(64), nn.ReLU(True),
            nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(True),
            nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(True),
            nn.ConvTranspose2d(16, 3, 4, 2, 1, bias=False), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z)


class Style(nn.Module):
    """Image translation: reflection padding, instance norm, residual blocks, nearest upsampling."""

    class Res(nn.Module):
        def __init__(self, c: int) -> None:
            super().__init__()
            self.conv1, self.in1 = nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c, affine=True)
            self.conv2, self.in2 = nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c, affine=True)
            self.pad, self.relu = nn.ReflectionPad2d(1), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            residual = x
            out = self.relu(self.in1(self.conv1(self.pad(x))))
            out = self.in2(self.conv2(self.pad(out)))
            return out + residual

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(4)
        self.conv1, self.in1 = nn.Conv2d(3, 16, 9), nn.InstanceNorm2d(16)
        self.conv2, self.in2 = nn.Conv2d(16, 32, 3, 2, 1), nn.InstanceNorm2d(32)
        self.res1, self.res2 = self.Res(32), self.Res(32)
        self.up = nn.Conv2d(32, 16, 3, padding=1)
        self.in3, self.last = nn.InstanceNorm2d(16), nn.Conv2d(16, 3, 9, padding=4, padding_mode="replicate")

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.in1(self.conv1(self.pad(x))))
        y = F.relu(self.in2(self.conv2(y)))
        y = self.res2(self.res1(y))
        y = F.interpolate(y, scale_factor=2, mode="nearest")
        y = F.relu(self.in3(self.up(y)))
        return torch.sigmoid(self.last(y))


class TorchEncoder(nn.Module):
    """nn.TransformerEncoder in its default settings with learned positions and a class token."""

    def __init__(self, **kw: Any) -> None:
        super().__init__()
        self.embed = nn.Embedding(500, 64)
        self.pos = nn.Parameter(torch.zeros(1, 33, 64))
        self.cls = nn.Parameter(torch.zeros(1, 1, 64))
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, **kw)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(64, 10)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) * math.sqrt(64)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], dim=1) + self.pos
        return self.head(self.encoder(x)[:, 0])


class Translator(nn.Module):
    """nn.Transformer: encoder and decoder with a causal mask, sinusoidal positions, sequence first."""

    def __init__(self) -> None:
        super().__init__()
        self.src, self.tgt = nn.Embedding(300, 32), nn.Embedding(300, 32)
        position = torch.arange(64).unsqueeze(1)
        div = torch.exp(torch.arange(0, 32, 2) * (-math.log(10000.0) / 32))
        pe = torch.zeros(64, 1, 32)
        pe[:, 0, 0::2], pe[:, 0, 1::2] = torch.sin(position * div), torch.cos(position * div)
        self.register_buffer("pe", pe)
        self.drop = nn.Dropout(0.1)
        self.transformer = nn.Transformer(32, 4, 2, 2, 64)
        self.generator = nn.Linear(32, 300)

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        s = self.drop(self.src(src) * math.sqrt(32) + self.pe[: src.shape[0]])
        t = self.drop(self.tgt(tgt) * math.sqrt(32) + self.pe[: tgt.shape[0]])
        mask = torch.triu(torch.full((tgt.shape[0], tgt.shape[0]), float("-inf")), diagonal=1)
        return self.generator(self.transformer(s, t, tgt_mask=mask))


class CrossAttention(nn.Module):
    """Perceiver: learned latents read the input by nn.MultiheadAttention, weights not needed."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(24, 48)
        self.latents = nn.Parameter(torch.randn(8, 48))
        self.n1, self.n2, self.n3 = nn.LayerNorm(48), nn.LayerNorm(48), nn.LayerNorm(48)
        self.cross = nn.MultiheadAttention(48, 4, batch_first=True)
        self.self_ = nn.MultiheadAttention(48, 4, batch_first=True, dropout=0.1)
        self.ff = nn.Sequential(nn.Linear(48, 96), nn.GELU(), nn.Linear(96, 48), nn.Dropout(0.1))
        self.head = nn.Linear(48, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.n1(self.proj(x))
        z = self.latents.unsqueeze(0).expand(x.size(0), -1, -1)
        z = z + self.cross(z, x, x, need_weights=False)[0]
        h = self.n2(z)
        h, _ = self.self_(h, h, h)
        z = z + h
        z = z + self.ff(self.n3(z))
        return self.head(z.mean(dim=1))


class Experts(nn.Module):
    """A dense mixture of experts with SwiGLU feed-forwards and a soft gate."""

    class SwiGLU(nn.Module):
        def __init__(self, d: int, h: int) -> None:
            super().__init__()
            self.w12, self.w3 = nn.Linear(d, 2 * h), nn.Linear(h, d)

        def forward(self, x: Tensor) -> Tensor:
            x1, x2 = self.w12(x).chunk(2, dim=-1)
            hidden = F.silu(x1) * x2
            return self.w3(hidden)

    def __init__(self) -> None:
        super().__init__()
        self.inp = nn.Linear(20, 48)
        self.norm = nn.RMSNorm(48)
        self.gate = nn.Linear(48, 4)
        self.experts = nn.ModuleList(self.SwiGLU(48, 96) for _ in range(4))
        self.head = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inp(x)
        h = self.norm(x)
        weights = torch.softmax(self.gate(h), dim=-1)
        stacked = torch.stack([expert(h) for expert in self.experts], dim=-2)
        x = x + (weights.unsqueeze(-1) * stacked).sum(dim=-2)
        return self.head(x)


class EffNet(nn.Module):
    """Inverted residuals with squeeze and excitation, SiLU, stochastic depth written as a mask."""

    class MB(nn.Module):
        def __init__(self, i: int, o: int, s: int, e: int) -> None:
            super().__init__()
            h = i * e
            self.use = s == 1 and i == o
            self.expand = nn.Sequential(nn.Conv2d(i, h, 1, bias=False), nn.BatchNorm2d(h), nn.SiLU(inplace=True))
            self.dw = nn.Sequential(
                nn.Conv2d(h, h, 3, s, 1, groups=h, bias=False), nn.BatchNorm2d(h), nn.SiLU(inplace=True)
            )
            self.fc1, self.fc2 = nn.Conv2d(h, i // 4, 1), nn.Conv2d(i // 4, h, 1)
            self.project = nn.Sequential(nn.Conv2d(h, o, 1, bias=False), nn.BatchNorm2d(o))

        def forward(self, x: Tensor) -> Tensor:
            h = self.dw(self.expand(x))
            se = F.adaptive_avg_pool2d(h, 1)
            se = torch.sigmoid(self.fc2(F.silu(self.fc1(se))))
            h = self.project(se * h)
            return x + h if self.use else h

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.SiLU())
        self.blocks = nn.Sequential(self.MB(16, 24, 2, 4), self.MB(24, 24, 1, 4), self.MB(24, 40, 2, 4))
        self.head = nn.Sequential(nn.Conv2d(40, 96, 1, bias=False), nn.BatchNorm2d(96), nn.SiLU())
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(96, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.blocks(self.stem(x)))
        return self.classifier(x.mean([2, 3]))


class NanoGPT(nn.Module):
    """The well-known small GPT: fused qkv, split, flash attention or a masked one, tied head."""

    class Block(nn.Module):
        def __init__(self, flash: bool) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(64), nn.LayerNorm(64)
            self.c_attn, self.c_proj = nn.Linear(64, 192), nn.Linear(64, 64)
            self.fc, self.gelu, self.proj = nn.Linear(64, 256), nn.GELU(approximate="tanh"), nn.Linear(256, 64)
            self.attn_dropout, self.resid_dropout, self.dropout = nn.Dropout(0.1), nn.Dropout(0.1), nn.Dropout(0.1)
            self.flash = flash
            if not flash:
                self.register_buffer("bias", torch.tril(torch.ones(64, 64)).view(1, 1, 64, 64))

        def attend(self, x: Tensor) -> Tensor:
            b, t, c = x.size()
            q, k, v = self.c_attn(x).split(64, dim=2)
            k = k.view(b, t, 4, c // 4).transpose(1, 2)
            q = q.view(b, t, 4, c // 4).transpose(1, 2)
            v = v.view(b, t, 4, c // 4).transpose(1, 2)
            if self.flash:
                y = F.scaled_dot_product_attention(
                    q, k, v, attn_mask=None, dropout_p=0.1 if self.training else 0, is_causal=True
                )
            else:
                att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
                att = att.masked_fill(self.bias[..., :t, :t] == 0, float("-inf"))
                att = F.softmax(att, dim=-1)
                att = self.attn_dropout(att)
                y = att @ v
            y = y.transpose(1, 2).contiguous().view(b, t, c)
            return self.resid_dropout(self.c_proj(y))

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.attend(self.ln_1(x))
            return x + self.dropout(self.proj(self.gelu(self.fc(self.ln_2(x)))))

    def __init__(self, flash: bool) -> None:
        super().__init__()
        self.wte, self.wpe, self.drop = nn.Embedding(700, 64), nn.Embedding(64, 64), nn.Dropout(0.1)
        self.h = nn.ModuleList(self.Block(flash) for _ in range(2))
        self.ln_f, self.lm_head = nn.LayerNorm(64), nn.Linear(64, 700, bias=False)
        self.wte.weight = self.lm_head.weight

    def forward(self, idx: Tensor) -> Tensor:
        pos = torch.arange(0, idx.size(1), dtype=torch.long, device=idx.device)
        x = self.drop(self.wte(idx) + self.wpe(pos))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


class ViT(nn.Module):
    """A vision transformer in einops style without einops."""

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.to_qkv = nn.LayerNorm(48), nn.Linear(48, 144, bias=False)
            self.attend, self.dropout = nn.Softmax(dim=-1), nn.Dropout(0.1)
            self.to_out = nn.Sequential(nn.Linear(48, 48), nn.Dropout(0.1))

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(x)
            b, n, _ = x.shape
            qkv = self.to_qkv(x).chunk(3, dim=-1)
            q, k, v = (t.reshape(b, n, 3, 16).permute(0, 2, 1, 3) for t in qkv)
            dots = torch.matmul(q, k.transpose(-1, -2)) * 16**-0.5
            attn = self.dropout(self.attend(dots))
            out = torch.matmul(attn, v)
            out = out.permute(0, 2, 1, 3).reshape(b, n, 48)
            return self.to_out(out)

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Sequential(nn.LayerNorm(192), nn.Linear(192, 48), nn.LayerNorm(48))
        self.pos, self.cls = nn.Parameter(torch.randn(1, 17, 48)), nn.Parameter(torch.randn(1, 1, 48))
        self.dropout = nn.Dropout(0.1)
        self.layers = nn.ModuleList(
            nn.ModuleList([self.Attention(), nn.Sequential(
                nn.LayerNorm(48), nn.Linear(48, 96), nn.GELU(), nn.Dropout(0.1), nn.Linear(96, 48), nn.Dropout(0.1)
            )]) for _ in range(2)
        )  # fmt: skip
        self.norm, self.head = nn.LayerNorm(48), nn.Linear(48, 10)

    def forward(self, img: Tensor) -> Tensor:
        b = img.shape[0]
        x = img.reshape(b, 3, 4, 8, 4, 8).permute(0, 2, 4, 3, 5, 1).reshape(b, 16, 192)
        x = self.patch(x)
        x = torch.cat((self.cls.repeat(b, 1, 1), x), dim=1)
        x += self.pos
        x = self.dropout(x)
        for attn, ff in self.layers:
            x = attn(x) + x
            x = ff(x) + x
        return self.head(self.norm(x)[:, 0])


class Bag(nn.Module):
    """Text classification by the mean of embeddings, and a wide and deep tail."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(800, 32, mode="mean")
        self.deep = nn.Sequential(
            nn.Linear(32, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.4), nn.Linear(128, 64), nn.ELU()
        )
        self.out = nn.Linear(64, 6)

    def forward(self, text: Tensor) -> Tensor:
        return self.out(self.deep(self.embedding(text)))


class FCN(nn.Module):
    """Feature pyramid: lateral convolutions, nearest upsampling added, heads of all levels summed."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.ModuleList([nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 32, 3, 2, 1), nn.Conv2d(32, 64, 3, 2, 1)])
        self.n = nn.ModuleList([nn.GroupNorm(4, 16), nn.GroupNorm(4, 32), nn.GroupNorm(4, 64)])
        self.lat = nn.ModuleList([nn.Conv2d(c, 24, 1) for c in (16, 32, 64)])
        self.smooth = nn.ModuleList([nn.Conv2d(24, 24, 3, padding=1) for _ in range(3)])
        self.head = nn.Conv2d(24, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        features = []
        for conv, norm in zip(self.c, self.n, strict=True):
            x = F.relu(norm(conv(x)))
            features.append(x)
        maps = [lat(f) for lat, f in zip(self.lat, features, strict=True)]
        for i in (1, 0):
            maps[i] = maps[i] + F.interpolate(maps[i + 1], size=maps[i].shape[2:], mode="nearest")
        outs = [s(p) for s, p in zip(self.smooth, maps, strict=True)]
        total = sum(F.interpolate(o, size=outs[0].shape[2:], mode="bilinear", align_corners=False) for o in outs)
        return F.interpolate(self.head(total), size=size, mode="bilinear", align_corners=False)


class VAE(nn.Module):
    """Convolutional autoencoder with a sampled code."""

    def __init__(self) -> None:
        super().__init__()
        self.enc = nn.Sequential(
            nn.Conv2d(1, 16, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten()
        )
        self.mu, self.logvar, self.fc = nn.Linear(2048, 16), nn.Linear(2048, 16), nn.Linear(16, 2048)
        self.dec = nn.Sequential(
            nn.Unflatten(1, (32, 8, 8)), nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        h = self.enc(x)
        mu, logvar = self.mu(h), self.logvar(h)
        std = torch.exp(0.5 * logvar)
        z = mu + std * torch.randn_like(std)
        return self.dec(self.fc(z))


class CharRNN(nn.Module):
    """Plain recurrent layers and a loop over cells."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.rnn = nn.Embedding(90, 24), nn.RNN(24, 40, 2, batch_first=True)
        self.cell, self.fc = nn.LSTMCell(40, 32), nn.Linear(32, 90)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(self.emb(x))
        h = torch.zeros(x.size(0), 32)
        c = torch.zeros(x.size(0), 32)
        outs = []
        for t in range(y.size(1)):
            h, c = self.cell(y[:, t, :], (h, c))
            outs.append(self.fc(h))
        return torch.stack(outs, 1)


class Graph(nn.Module):
    """Graph convolutions on a dense adjacency, with edge softmax (GAT) and global pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.w1, self.w2 = nn.Linear(12, 32, bias=False), nn.Linear(32, 32)
        self.a = nn.Parameter(torch.randn(64, 1))
        self.out = nn.Linear(32, 5)

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        h = self.w1(x)
        left, right = torch.matmul(h, self.a[:32]), torch.matmul(h, self.a[32:])
        e = F.leaky_relu(left + right.transpose(1, 2), 0.2)
        e = torch.where(adj > 0, e, torch.full_like(e, -9e15))
        h = F.elu(torch.matmul(F.softmax(e, dim=-1), h))
        h = F.relu(torch.bmm(adj, self.w2(h)))
        return self.out(h.max(dim=1)[0])


class Ghost(nn.Module):
    """Ghost modules, channel attention by 1-D convolution (ECA), a global context by softmax over pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(inplace=True))
        self.primary = nn.Sequential(nn.Conv2d(16, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True))
        self.cheap = nn.Sequential(
            nn.Conv2d(24, 24, 3, 1, 1, groups=24, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True)
        )
        self.eca = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.mask = nn.Conv2d(48, 1, 1)
        self.transform = nn.Sequential(nn.Conv2d(48, 12, 1), nn.LayerNorm([12, 1, 1]), nn.ReLU(), nn.Conv2d(12, 48, 1))
        self.head = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x1 = self.primary(x)
        x2 = self.cheap(x1)
        x = torch.cat([x1, x2], dim=1)
        y = F.adaptive_avg_pool2d(x, 1)
        y = self.eca(y.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
        x = x * y.sigmoid().expand_as(x)
        n, c, h, w = x.shape
        context = F.softmax(self.mask(x).view(n, 1, h * w), dim=2).unsqueeze(-1)
        context = torch.matmul(x.view(n, 1, c, h * w), context).view(n, c, 1, 1)
        x = x + self.transform(context)
        return self.head(x.mean(dim=(-2, -1)))


def _images(classes: int = 10, size: int = 32) -> tuple[tuple[Tensor, ...], Tensor]:
    return (torch.randn(4, 3, size, size),), torch.randint(0, classes, (4,))


def _ids(n: int = 500, t: int = 32) -> tuple[Tensor, ...]:
    return (torch.randint(0, n, (4, t)),)


def _case(module: nn.Module, inputs: tuple[Tensor, ...], target: Tensor, loss: str = "cross_entropy") -> Case:
    return module, inputs, target, loss


BLIND: dict[str, Callable[[], Case]] = {
    "inception": lambda: _case(Inception(), *_images(size=64)),
    "squeezenet": lambda: _case(SqueezeNet(), *_images(size=64)),
    "att_unet": lambda: _case(AttentionUNet(), (torch.randn(2, 3, 48, 48),), torch.randint(0, 3, (2, 48, 48))),
    "bilstm": lambda: _case(BiRNN("LSTM"), _ids(400), torch.randint(0, 12, (4, 32))),
    "bigru": lambda: _case(BiRNN("GRU"), _ids(400), torch.randint(0, 12, (4, 32))),
    "seq2seq": lambda: _case(
        Seq2Seq(),
        (torch.randint(0, 300, (4, 12)), torch.randint(0, 300, (4, 6))),
        torch.randint(0, 300, (4, 6)),
    ),
    "tcn": lambda: _case(TCN(), (torch.randn(4, 4, 100),), torch.randint(0, 10, (4,))),
    "video": lambda: _case(Video(), (torch.randn(2, 3, 8, 32, 32),), torch.randint(0, 10, (2,))),
    "generator": lambda: _case(Generator(), (torch.randn(4, 32, 1, 1),), torch.randn(4, 3, 32, 32), "mse"),
    "style": lambda: _case(Style(), (torch.randn(2, 3, 32, 32),), torch.randn(2, 3, 32, 32), "mse"),
    "torch_encoder": lambda: _case(TorchEncoder(), _ids(), torch.randint(0, 10, (4,))),
    "pre_encoder": lambda: _case(
        TorchEncoder(norm_first=True, activation="gelu", dropout=0.0), _ids(), torch.randint(0, 10, (4,))
    ),
    "translator": lambda: _case(
        Translator(), (torch.randint(0, 300, (20, 4)), torch.randint(0, 300, (16, 4))), torch.randint(0, 300, (16, 4))
    ),
    "perceiver": lambda: _case(CrossAttention(), (torch.randn(4, 40, 24),), torch.randint(0, 7, (4,))),
    "experts": lambda: _case(Experts(), (torch.randn(4, 16, 20),), torch.randint(0, 10, (4, 16))),
    "effnet": lambda: _case(EffNet(), *_images(size=48)),
    "nanogpt": lambda: _case(NanoGPT(False), _ids(700), torch.randint(0, 700, (4, 32))),
    "nanogpt_flash": lambda: _case(NanoGPT(True), _ids(700), torch.randint(0, 700, (4, 32))),
    "vit": lambda: _case(ViT(), *_images()),
    "bag": lambda: _case(Bag(), _ids(800, 20), torch.randint(0, 6, (4,))),
    "fpn": lambda: _case(FCN(), (torch.randn(2, 3, 48, 48),), torch.randint(0, 4, (2, 48, 48))),
    "vae": lambda: _case(VAE(), (torch.randn(4, 1, 32, 32),), torch.rand(4, 1, 32, 32), "mse"),
    "charrnn": lambda: _case(CharRNN(), _ids(90, 10), torch.randint(0, 90, (4, 10))),
    "graph": lambda: _case(
        Graph(), (torch.randn(4, 20, 12), (torch.rand(4, 20, 20) > 0.5).float()), torch.randint(0, 5, (4,))
    ),
    "ghost": lambda: _case(Ghost(), *_images(size=48)),
}
