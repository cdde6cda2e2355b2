"""Writes docs/popular-claims.md: rules of thumb, each checked by commands of graphmem: `python benchmarks/claims.py`.

Every figure of the page comes from the JSON of a command that is printed beside it; a verdict is computed from the
figures, not written. `--check` fails when the page is not what the commands say now. No GPU and no torch is needed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
PAGE = HERE / "docs" / "popular-claims.md"
GIB, MIB = 1 << 30, 1 << 20
VISION = ("resnet18", "resnet50", "vgg16", "mobilenetv2", "unet", "vit")
LANGUAGE = ("bert --dim sequence=128", "gpt2 --dim sequence=512")


@cache
def ran(command: str) -> dict[str, Any]:
    """The JSON of `graphmem COMMAND --format json`; exit code 1 is an answer too."""
    words = [sys.executable, "-m", "graphmem", *command.split(), "--format", "json"]
    print("graphmem", command, file=sys.stderr, flush=True)
    done = subprocess.run(words, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or not done.stdout:
        raise SystemExit(f"graphmem {command}: {done.stderr}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@dataclass
class Page:
    """What one claim's check has run and found."""

    commands: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def run(self, command: str) -> dict[str, Any]:
        """Run a command and note it."""
        if command not in self.commands:
            self.commands.append(command)
        return ran(command)

    def train(self, model: str, options: str = "") -> dict[str, Any]:
        """A training step of a network of models/."""
        name, _, more = model.partition(" ")
        return self.run(f"train models/{name}.onnx {more} {options}".replace("  ", " ").strip())

    def fit(self, model: str, options: str) -> dict[str, Any]:
        """A fit of a network of models/."""
        name, _, more = model.partition(" ")
        return self.run(f"fit models/{name}.onnx {more} {options}".replace("  ", " ").strip())

    def say(self, line: str) -> None:
        """A finding."""
        self.lines.append(line)


def gib(nbytes: float) -> str:
    """Bytes for reading."""
    return f"{nbytes / GIB:.2f} GiB" if nbytes >= GIB else f"{nbytes / MIB:.1f} MiB"


def short(model: str) -> str:
    """The network without its dimensions."""
    return model.partition(" ")[0]


def first_convolution(page: Page) -> str:
    found = page.run("analyze models/resnet18.onnx --batch 128 --tensors")["tensors"]["conv2d"]["bytes"]
    step = page.train("resnet18", "--batch 128")
    rows = [row for row in step["saved_activations"] if row["bytes"] == found]
    page.say(f"Its output at batch 128, float32, 224×224, is {found:,} bytes = {found / MIB:.1f} MiB.")
    page.say(
        f"But a convolution saves its input. {len(rows)} tensors of that size wait for the backward pass: "
        + " and ".join(f"`{row['tensor']}`, made by {row['operator']}" for row in rows)
        + f", of {gib(step['saved_bytes'])} saved in all."
    )
    return "true" if abs(found / MIB - 392) < 0.5 else "false"


def doubling(page: Page) -> str:
    activations = {b: _moving(page.train("unet", f"--batch {b}")) for b in (2, 4, 8, 16)}
    ratios = [activations[2 * b] / activations[b] for b in (2, 4, 8)]
    steps = ", ".join(f"{b}: {gib(n)}" for b, n in activations.items())
    page.say(f"U-Net, activations and temporaries at the peak by batch: {steps}; each doubling times {_range(ratios)}.")
    runs = {n: page.run(f"analyze models/llama.onnx --batch 1 --dim sequence={n}") for n in (2048, 4096, 8192)}
    lengths = {n: run["inference"]["activation_peak_bytes"] for n, run in runs.items()}
    grown = [lengths[2 * n] / lengths[n] for n in (2048, 4096)]
    page.say(
        "What grows faster is the length of a sequence, where the scores of attention are stored, as in the graph of "
        f"Llama's file: each doubling from 2048 on times {_range(grown)}."
    )
    return "false" if max(ratios) < 2.1 else "true"


def _moving(step: dict[str, Any]) -> int:
    parts = step["breakdown_bytes"]
    return int(parts["activations"] + parts["temporaries"])


def _range(values: Sequence[float], form: str = "{:.2f}") -> str:
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"


def checkpointing(page: Page) -> str:
    savings = {}
    for model, batch in (("resnet18", 32), ("resnet50", 32), ("gpt2 --dim sequence=512", 8), ("vit", 32)):
        plain = page.train(model, f"--batch {batch} --optimizer adamw")
        again = page.train(model, f"--batch {batch} --optimizer adamw --checkpoint blocks")
        found = page.fit(model, f"--train --batch {batch} --optimizer adamw --device 80GB")
        cost = next(o["relative_step_cost"] for o in found["options"] if o["name"] == "checkpoint")
        waits = 1 - again["saved_bytes"] / plain["saved_bytes"]
        savings[model] = 1 - again["peak_bytes"] / plain["peak_bytes"]
        page.say(
            f"{short(model)}, batch {batch}, AdamW, every block: activations that wait -{waits:.0%}, "
            f"peak -{savings[model]:.0%}, estimated step time ×{cost:.2f}."
        )
    return "only when" if max(savings.values()) >= 0.6 else "false"


def amp(page: Page) -> str:
    ratios = {}
    for model, batch in (
        ("mobilenetv2", 32),
        ("resnet50", 32),
        ("resnet50", 1),
        ("gpt2 --dim sequence=512", 4),
        ("vgg16", 4),
    ):
        plain = page.train(model, f"--batch {batch} --optimizer adamw --device cuda")
        mixed = page.train(model, f"--batch {batch} --optimizer adamw --device cuda --precision bf16-amp")
        ratios[model, batch] = mixed["peak_bytes"] / plain["peak_bytes"]
        page.say(f"{short(model)}, batch {batch}, AdamW: ×{ratios[model, batch]:.2f} of the float32 peak.")
    page.say(
        "Weights, gradients and optimizer state stay in float32, and copies of the weights in bfloat16 come on top."
    )
    return "only when" if min(ratios.values()) < 0.55 < max(ratios.values()) else "false"


def language_345m(page: Page) -> str:
    weights, state = _per_parameter(page, "gpt2 --dim sequence=1", "")
    page.say(f"GPT-2 holds {weights:.2f} bytes per parameter: the weights of 345 M are {345e6 * weights / 1e9:.2f} GB.")
    page.say(f"An AdamW step needs {state:.1f} bytes per parameter before activations: {345e6 * state / 1e9:.2f} GB.")
    return "only when" if 345e6 * state / 1e9 > 2 else "true"


def _per_parameter(page: Page, model: str, precision: str) -> tuple[float, float]:
    """Bytes per parameter of the weights, and of a whole AdamW step with next to no activations."""
    step = page.train(model, f"--batch 1 --optimizer adamw --form fused {precision}".strip())
    parameters = step["model"]["parameters"]
    held = step["breakdown_bytes"]
    return held["parameters"] / parameters, (
        held["parameters"] + held["gradients"] + held["optimizer_state"]
    ) / parameters


def vision_25m(page: Page) -> str:
    peaks = {}
    for batch in (1, 32, 128):
        peaks[batch] = page.train("resnet50", f"--batch {batch} --optimizer adam --device cuda")["reserved_bytes"]
    room = page.fit("resnet50", "--device 4075MiB --train --optimizer adam --brief")  # 3.8 GB and 450 MiB of context
    page.say(
        "ResNet-50, 25.6 M parameters, Adam, float32, reserved: "
        + ", ".join(f"{gib(n)} at batch {b}" for b, n in peaks.items())
        + "."
    )
    page.say(f"In 3.8 GB (3.54 GiB) for the model fits batch {room['largest_batch']}, not {room['refused_batch']}.")
    return "only when"


def giant_175b(page: Page) -> str:
    half, _ = _per_parameter(page, "gpt2 --dim sequence=1", "--precision bf16")
    _, mixed = _per_parameter(page, "gpt2 --dim sequence=1", "--precision bf16-amp")
    page.say(f"In 16 bits the weights alone are {half:.2f} bytes per parameter: {175 * half:.0f} GB for 175 B.")
    page.say(f"A mixed-precision AdamW step holds {mixed:.1f} before activations: {175 * mixed / 1000:.1f} TB.")
    return "only when" if mixed > 2 * half else "true"


def fragmentation(page: Page) -> str:
    shares = {}
    for model in (*VISION, *LANGUAGE):
        found = page.train(model, "--batch 16 --optimizer adamw --device cuda")
        shares[short(model)] = 1 - found["allocated_bytes"] / found["reserved_bytes"]
    page.say(
        "Reserved but not allocated when both are greatest, batch 16, AdamW: "
        + ", ".join(f"{n} {s:.0%}" for n, s in shares.items())
        + "."
    )
    inside = sum(0.15 <= share <= 0.20 for share in shares.values())
    page.say(
        f"{inside} of {len(shares)} lie between 15 and 20 %; the least is {_range([min(shares.values())], '{:.0%}')}."
    )
    return "true" if inside == len(shares) else "false"


def usable(page: Page) -> str:
    devices = page.run("devices")["devices"]
    lost = {d["name"]: 1 - d["usable_bytes"] / d["nominal_bytes"] for d in devices}
    cards = {d["name"]: lost[d["name"]] for d in devices if d["kind"] in ("consumer", "workstation", "data center")}
    page.say(
        f"On {len(cards)} cards a process gets {1 - max(cards.values()):.0%} to {1 - min(cards.values()):.0%} of the "
        f"nominal memory; {sum(c > 0.25 for c in cards.values())} of them lose more than a quarter."
    )
    shared = {n: v for n, v in lost.items() if n not in cards}
    page.say(
        f"Where memory is shared with the CPU it is {1 - max(shared.values()):.0%} to {1 - min(shared.values()):.0%}."
    )
    return "false"


def accumulation(page: Page) -> str:
    ratios = {}
    for model, batch in (("resnet18", 8), ("vgg16", 8), ("gpt2 --dim sequence=512", 2), ("mobilenetv2", 8)):
        for optimizer in ("sgd", "adamw"):
            one = page.train(model, f"--batch {batch} --optimizer {optimizer}")["peak_bytes"]
            four = page.train(model, f"--batch {batch} --optimizer {optimizer} --accumulate 4")["peak_bytes"]
            eight = page.train(model, f"--batch {batch} --optimizer {optimizer} --accumulate 8")["peak_bytes"]
            ratios[short(model), optimizer] = four / one
            assert four == eight, "the number of micro-batches changes the peak"
    page.say(
        "Four micro-batches against one of the same size: "
        + ", ".join(f"{n} {o} ×{r:.2f}" for (n, o), r in ratios.items())
        + "."
    )
    page.say("Eight need what four do. The gradients, as large as the weights, stay through the next forward pass.")
    return (
        "only when"
        if min(ratios.values()) < 1.01 < max(ratios.values())
        else "false"
        if min(ratios.values()) > 1.01
        else "true"
    )


def system_memory(page: Page) -> str:
    rows = []
    asked = (("mobilenetv2", "4GB"), ("resnet50", "rtx3060"), ("bert --dim sequence=128", "h100-sxm"),
             ("llama --dim sequence=512", "h200"))  # fmt: skip
    for model, device in asked:
        found = page.fit(model, f"--device {device} --train --optimizer adamw --batch 8 --brief")
        rule = found["device"]["nominal_bytes"] * 1.25
        rows.append((short(model), device, rule, found["system_memory"]["bytes"]))
    for name, device, rule, needed in rows:
        page.say(f"{name} on {device}: the rule says {gib(rule)}, its parts add up to {gib(needed)}.")
    return "false"


def language_or_vision(page: Page) -> str:
    peaks = {}
    for model in ("resnet50", "vit", "bert --dim sequence=128", "bert --dim sequence=512"):
        peaks[model] = page.train(model, "--batch 16 --optimizer adamw")["peak_bytes"]
    ratios = [peaks[a] / peaks[b] for a in list(peaks)[2:] for b in list(peaks)[:2]]
    page.say("AdamW, batch 16: " + ", ".join(f"{m.replace(' --dim', '')} {gib(n)}" for m, n in peaks.items()) + ".")
    page.say(f"BERT against ResNet-50 and ViT: ×{_range(ratios)}, as the length and the networks are chosen.")
    return "false" if max(ratios) - min(ratios) > 0.3 else "true"


def depthwise(page: Page) -> str:
    rows = {m: page.train(m, "--batch 32 --optimizer adamw") for m in ("mobilenetv2", "resnet18", "resnet50")}
    for name, step in rows.items():
        held = step["breakdown_bytes"]
        page.say(
            f"{name}, batch 32: parameters {gib(held['parameters'])}, saved activations {gib(step['saved_bytes'])}, "
            f"peak {gib(step['peak_bytes'])}."
        )
    less = rows["mobilenetv2"]["peak_bytes"] < rows["resnet18"]["peak_bytes"]
    return "true" if less else "only when"


def transformer_8gb(page: Page) -> str:
    rows = {
        m: page.fit(m, "--device 8GB --train --optimizer adamw --brief")
        for m in ("bert --dim sequence=128", "gpt2 --dim sequence=512", "vit", "llama --dim sequence=512")
    }
    for model, found in rows.items():
        page.say(
            f"{model.replace(' --dim', ',')}, AdamW, float32: "
            + (f"batch {found['largest_batch']} fits." if found["largest_batch"] else "not even batch 1.")
        )
    return "false" if any(r["largest_batch"] for r in rows.values()) else "true"


def four_gb(page: Page) -> str:
    rows: list[tuple[str, int, int]] = []
    sizes: dict[bool, list[int]] = {True: [], False: []}
    for model in (*VISION, *LANGUAGE, "llama --dim sequence=512"):
        run = page.fit(model, "--device 4GB --brief")
        step = page.fit(model, "--device 4GB --train --optimizer adamw --brief")
        rows.append((short(model), run["largest_batch"], step["largest_batch"]))
        sizes[bool(step["largest_batch"])].append(step["model"]["parameters"])
    page.say(
        "Largest batch on a 4 GB card, inference / AdamW training: "
        + ", ".join(f"{n} {r or 'none'} / {s or 'none'}" for n, r, s in rows)
        + "."
    )
    fits = [bool(s) for _, _, s in rows]
    page.say(
        f"The largest that trains has {max(sizes[True]) / 1e6:.0f} M parameters, "
        f"the smallest that does not {min(sizes[False]) / 1e6:.0f} M."
    )
    return "true" if all(fits) else "only when" if any(fits) else "false"


@dataclass(frozen=True)
class Claim:
    """A rule of thumb, its check, and when it holds."""

    text: str
    check: Callable[[Page], str]
    when: str = ""


CLAIMS = (
    Claim("ResNet-18's first convolution needs 392 MB.", first_convolution, "in MiB, of its output, at batch 128"),
    Claim("Doubling the batch quadruples temporary buffers.", doubling),
    Claim(
        "Checkpointing saves 65 % of memory for 20 to 30 % more compute.",
        checkpointing,
        "activations dominate: large batches or long sequences",
    ),
    Claim(
        "Automatic mixed precision halves memory.",
        amp,
        "activations dominate; weights and optimizer state do not shrink",
    ),
    Claim(
        "A language model of 345 M parameters needs 1.2 GB.", language_345m, "it is not trained: these are the weights"
    ),
    Claim(
        "A vision model of 25 M parameters needs 3.8 GB.",
        vision_25m,
        "the batch happens to be the right one; without a batch the sentence says nothing",
    ),
    Claim(
        "A model of 175 B parameters needs 350 GB.",
        giant_175b,
        "the weights are in 16 bits and nothing else is counted",
    ),
    Claim("Fragmentation takes 15 to 20 %.", fragmentation),
    Claim("Usable memory is 30 % less than advertised.", usable),
    Claim(
        "Gradient accumulation is free.",
        accumulation,
        "the peak is in the optimizer's step, whose temporaries outweigh what waits",
    ),
    Claim("System memory must be the GPU's plus 25 %.", system_memory),
    Claim("NLP needs 30 to 40 % more memory than vision.", language_or_vision),
    Claim(
        "Depthwise-separable convolutions save memory.",
        depthwise,
        "weights are meant; training saves their many activations",
    ),
    Claim("8 GB is not enough for a transformer.", transformer_8gb),
    Claim("4 GB is enough for deep learning.", four_gb, "the network is small enough"),
)
HEAD = """\
# Popular claims, checked

Rules of thumb about memory that people repeat, each held against commands of graphmem on the networks of `models/`.
Figures and verdicts are written by `python benchmarks/claims.py`; nothing on this page is typed by hand but the claims
and the conditions after "only when". Peaks are tensor-level unless reserved bytes are named (docs/training.md); step
times are estimates by bytes moved (docs/fit.md).
"""


def section(number: int, claim: Claim) -> str:
    """One claim as Markdown."""
    page = Page()
    verdict = claim.check(page)
    said = f"**{verdict}**" + (
        f" {claim.when}" if verdict == "only when" else f" ({claim.when})" if claim.when and verdict == "true" else ""
    )
    commands = "\n".join(f"    graphmem {command}" for command in page.commands)
    return (
        f'## {number}. "{claim.text}"\n\n{said}\n\n'
        + "\n".join(f"- {line}" for line in page.lines)
        + f"\n\n{commands}\n"
    )


def main() -> None:
    """Write the page, or with --check compare it."""
    text = HEAD + "\n" + "\n".join(section(i, claim) for i, claim in enumerate(CLAIMS, 1))
    if "--check" in sys.argv:
        sys.exit(
            0 if PAGE.read_text(encoding="utf-8") == text else "docs/popular-claims.md is not what the commands say"
        )
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
