"""Exports networks of our own in every form, and measures a real step of each: `python training_oracle.py DIR`.

Needs torch (and transformers for some). Writes NAME_FORM.onnx, truth.json and traces.json into DIR, in the shape of the
training data that graphmem is held to; `training_table.py DIR FORM` then compares. NAME... restricts it; networks that
DIR has are left alone. The eager step is always in training mode.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests" / "oracle")]

import torch
from blind_networks import BLIND
from profile_step import Allocation, StepTrace, step_trace
from regions_networks import REGIONS
from third_networks import THIRD
from torch.nn import functional
from training_networks import NETWORKS, Case
from transformers_networks import TRANSFORMERS

FORMS = ("train_dynraw", "train_dyn", "eval_dynraw", "eval_dyn", "train_ts", "eval_ts")  # raw: not optimized
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


def networks() -> dict[str, Callable[[], Case]]:
    """All networks by name."""
    return {**NETWORKS, **BLIND, **TRANSFORMERS, **THIRD, **REGIONS}


def loss_of(name: str) -> Any:
    """The loss as a training loop writes it."""

    def first(loss: Any) -> Any:
        return lambda out, target: loss(out[0] if isinstance(out, tuple) else out, target)

    def cross_entropy(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if out.dim() == 3:
            return functional.cross_entropy(out.view(-1, out.shape[-1]), target.view(-1))
        return functional.cross_entropy(out, target)

    return first({"cross_entropy": cross_entropy, "mse": functional.mse_loss, "l1": functional.l1_loss}[name])


def exported(case: Case, form: str, path: Path) -> None:
    """Write the network of `case` as ONNX in one of FORMS."""
    module, inputs, _, _ = case
    trains = form.startswith("train")
    module = module.train(trains)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not form.endswith("_ts"):
            program = torch.onnx.export(module, inputs, dynamo=True, optimize=not form.endswith("raw"), verbose=False)
            assert program is not None
            program.save(str(path), external_data=False)
            return
        mode = torch.onnx.TrainingMode.TRAINING if trains else torch.onnx.TrainingMode.EVAL
        torch.onnx.export(
            module, inputs, str(path), dynamo=False, training=mode, opset_version=17, do_constant_folding=not trains
        )


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


def dropouts(module: torch.nn.Module) -> tuple[float, float]:
    """The probability of most dropouts, and that of dropout of attention weights: what a user would state."""
    found = [m.p for m in module.modules() if isinstance(m, torch.nn.Dropout) and m.p]
    layers = [m.dropout for m in module.modules() if isinstance(m, torch.nn.MultiheadAttention)]
    config = next((m.config for m in module.modules() if hasattr(m, "config")), None)
    names = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop", "dropout_rate")
    stated = [float(getattr(config, name)) for name in names if hasattr(config, name)]
    found = found or [float(config.dropout)] if hasattr(config, "dropout") else found
    most = max(set(found), key=found.count) if found else 0.0
    return most, (stated or layers or [most])[0]


def facts(trace: StepTrace, loss: str, dropout: tuple[float, float]) -> dict[str, Any]:
    """What truth.json holds of a step."""
    short = {"forward": "fwd", "backward": "bwd", "optimizer": "opt"}
    return {
        "loss": loss,
        "dropout": dropout,
        "baseline": trace.baseline,
        "tensor_peak": trace.peak,
        "phase_peak": {short[k]: v for k, v in trace.phase_peak.items() if k in short},
        "at": trace.at,
    }


def rows(allocations: Sequence[Allocation]) -> list[tuple[str, str, str, int]]:
    """The tensor-level allocations in order."""
    return [(a.phase[:3], a.node, a.operator, a.nbytes) for a in allocations if not a.is_workspace]


def main() -> None:
    """One line per network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--optimizers", nargs="*", default=["sgd", "adamw"])
    parser.add_argument("--forms", nargs="*", default=FORMS)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    given.folder.mkdir(parents=True, exist_ok=True)
    truth = _read(given.folder / "truth.json") or {"torch": torch.__version__, "nets": {}}
    traces = _read(given.folder / "traces.json")
    cases = networks()
    for name in given.names or cases:
        torch.manual_seed(0)
        case = cases[name]()
        found = truth["nets"].setdefault(name, {})
        for optimizer in given.optimizers:
            if optimizer not in found:
                trace = measured(case, optimizer)
                found[optimizer] = facts(trace, case[3], dropouts(case[0]))
                traces[f"{name} {optimizer}"] = {"made": rows(trace.allocations), "live": rows(trace.live)}
        for form in given.forms:
            path = given.folder / f"{name}_{form}.onnx"
            if not path.exists():
                try:
                    exported(case, form, path)
                except Exception as error:
                    print(f"{name} {form}: export failed, {type(error).__name__} {str(error)[:80]!r}")
        print(name, found["sgd"]["tensor_peak"] if "sgd" in found else "", flush=True)
        (given.folder / "truth.json").write_text(json.dumps(truth, indent=1))
        (given.folder / "traces.json").write_text(json.dumps(traces))


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


if __name__ == "__main__":
    main()
