"""Exports networks of our own, measures a real step of each, and prints both: `python benchmarks/training_oracle.py`.

Needs torch (and transformers for two of them). Prints a Markdown table; NAME... restricts it, --flavour chooses among
train_raw (default), eval, train_ts and eval_ts, --trace prints the allocations at the measured peak.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests" / "oracle")]

import torch
from profile_step import StepTrace, step_trace
from torch.nn import functional
from training_networks import NETWORKS, Case

import graphmem

OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p),
    "adamw": lambda p: torch.optim.AdamW(p),
    "amsgrad": lambda p: torch.optim.AdamW(p, amsgrad=True),
    "nadam": lambda p: torch.optim.NAdam(p),
    "radam": lambda p: torch.optim.RAdam(p),
    "rmsprop": lambda p: torch.optim.RMSprop(p),
    "adagrad": lambda p: torch.optim.Adagrad(p),
    "adafactor": lambda p: torch.optim.Adafactor(p),
}


def loss_of(name: str) -> Any:
    """The loss as a training loop writes it."""

    def cross_entropy(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if out.dim() == 3:
            return functional.cross_entropy(out.view(-1, out.shape[-1]), target.view(-1))
        return functional.cross_entropy(out, target)

    return {"cross_entropy": cross_entropy, "mse": functional.mse_loss, "l1": functional.l1_loss}[name]


def exported(case: Case, flavour: str, path: Path) -> None:
    """Write the network of `case` as ONNX."""
    module, inputs, _, _ = case
    module = module.train() if flavour.startswith("train") else module.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if flavour.endswith("_ts"):
            training = torch.onnx.TrainingMode.TRAINING if flavour.startswith("train") else torch.onnx.TrainingMode.EVAL
            torch.onnx.export(
                module, inputs, str(path), dynamo=False, training=training, opset_version=17,
                do_constant_folding=flavour.startswith("eval"),
            )  # fmt: skip
        else:
            program = torch.onnx.export(module, inputs, dynamo=True, optimize=flavour == "eval", verbose=False)
            program.save(str(path), external_data=False)


LOWER = {"bf16": torch.bfloat16, "fp16": torch.float16}


def measured(case: Case, optimizer: str, precision: str = "fp32", accumulate: int = 1) -> StepTrace:
    """The real step; a pure half precision converts module, inputs and target."""
    module, inputs, target, loss = case
    lower, is_mixed = LOWER.get(precision.removesuffix("-amp")), precision.endswith("-amp")
    if lower is not None and not is_mixed:
        module = module.to(lower)
        inputs, target = tuple(_in(t, lower) for t in inputs), _in(target, lower)
    return step_trace(
        module.train(), inputs, target, loss_of(loss), OPTIMIZERS[optimizer], accumulate=accumulate,
        autocast=lower if is_mixed else None, before=8 if optimizer == "radam" else 1,  # which rectifies from step 6 on
    )  # fmt: skip


def _in(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def main() -> None:
    """One row per network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--flavour", default="train_raw")
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--assume-bn", action="store_true")
    parser.add_argument("--dropout", type=float, default=None)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--trace", action="store_true")
    given = parser.parse_args()
    print(f"torch {torch.__version__}, {given.flavour}, {given.optimizer}\n")
    print("| network | predicted | measured | difference | % | at |\n|---|---:|---:|---:|---:|---|")
    counts: Counter[str] = Counter()
    for name in given.names or NETWORKS:
        torch.manual_seed(0)
        case = NETWORKS[name]()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.onnx"
            try:
                exported(case, given.flavour, path)
            except Exception as error:
                print(f"| {name} | export failed: {type(error).__name__} {str(error)[:60]!r} | | | | |")
                continue
            truth = measured(case, given.optimizer, given.precision, given.accumulate)
            try:
                found = graphmem.train(
                    path, loss=case[3], optimizer=given.optimizer, assume_bn=given.assume_bn, dropout=given.dropout,
                    precision=given.precision, accumulate=given.accumulate,
                )  # fmt: skip
            except Exception as error:
                if given.names:
                    raise
                print(f"| {name} | failed: {type(error).__name__} {error} | {truth.peak:,} | | | |")
                continue
        difference = found.peak - truth.peak
        share = abs(difference) / truth.peak
        counts.update(
            [
                "all",
                *(
                    k
                    for k, ok in (("256 B", abs(difference) <= 256), ("0.1 %", share <= 0.001), ("1 %", share <= 0.01))
                    if ok
                ),
            ]
        )
        unknown = [i.what for i in found.issues if i.kind == "unknown-rule"]
        print(
            f"| {name} | {found.peak:,} | {truth.peak:,} | {difference:+,} | {100 * difference / truth.peak:+.3f} | "
            f"{truth.at[1] or '-'} in {truth.at[2] or truth.at[0]} |" + (f" {unknown}" if unknown else "")
        )
        if given.trace:
            _compare(truth, found)
    print("\n" + ", ".join(f"{key}: {value}" for key, value in counts.items()))


def _compare(truth: StepTrace, found: Any) -> None:
    """Tensor-level allocations of both, in order, side by side where they differ."""
    real = [(a.phase[:3], a.operator, a.nbytes) for a in truth.allocations if not a.is_workspace]
    steps, buffers = found.schedule.steps, found.schedule.buffers
    ours = [(s.phase[:3], s.operator, buffers[b].nbytes) for s in steps for b in s.writes]
    import difflib

    for line in difflib.unified_diff(
        [str(r[::2]) + " " for r in real], [str(r[::2]) + " " for r in ours], "measured", "predicted", lineterm="", n=3
    ):
        print(line)
    print(
        "baseline",
        truth.baseline,
        found.baseline,
        "phases",
        truth.phase_peak,
        dict(found.phase_peaks),
        found.peak_operator,
        found.peak_node,
    )


if __name__ == "__main__":
    main()
