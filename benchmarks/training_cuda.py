"""Predicted against measured on a GPU: `python benchmarks/training_cuda.py [NAME ...]`, where torch sees one.

Every network of `training_oracle.py` is exported, and the third step of an eager loop on the GPU is measured by
`torch.cuda.max_memory_allocated` and `max_memory_reserved`, with cuDNN's workspace capped at nothing unless --cudnn.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

import torch
from training_oracle import BLIND, NETWORKS, OPTIMIZERS, exported, loss_of

import graphmem


def moved(value: Any) -> Any:
    """The value on the GPU."""
    return value.cuda() if isinstance(value, torch.Tensor) else value


def measured(case: Any, optimizer: str) -> tuple[int, int]:
    """Bytes allocated and reserved at most in the third step, after a fresh start of the allocator."""
    module, inputs, target, loss = case
    module, inputs, target = module.cuda().train(), tuple(map(moved, inputs)), moved(target)
    step = OPTIMIZERS[optimizer]([p for p in module.parameters() if p.requires_grad])
    for turn in range(3):
        if turn == 2:
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        out = module(*inputs)
        out = out[0] if isinstance(out, tuple) else out
        value = loss_of(loss)(out, target)
        value.backward()
        step.step()
        step.zero_grad()
        del out, value
    return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()


def main() -> None:
    """A line per network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="sgd")
    parser.add_argument("--cudnn", action="store_true", help="leave cuDNN's workspace as it is")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU here; the CPU's table is benchmarks/training_table.py")
    if not given.cudnn:
        os.environ["CUDNN_CONV_WSCAP_DBG"] = "0"
    warnings.simplefilter("ignore")
    networks = {**NETWORKS, **BLIND}
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}, {given.optimizer}")
    print(f"{'network':14} {'allocated':>14} {'measured':>14} {'%':>8} {'reserved':>14} {'measured':>14} {'%':>8}")
    for name in given.names or networks:
        torch.manual_seed(0)
        case = networks[name]()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.onnx"
            exported(case, "train_dynraw", path)
            found = graphmem.train(path, loss=case[3], optimizer=given.optimizer, device="cuda").allocator
        allocated, reserved = measured(case, given.optimizer)
        assert found is not None
        row = []
        for ours, real in ((found.allocated, allocated), (found.reserved, reserved)):
            row.append(f"{ours:14,} {real:14,} {(ours / real - 1) * 100:+8.3f}")
        print(f"{name:14} {' '.join(row)}", flush=True)


if __name__ == "__main__":
    main()
