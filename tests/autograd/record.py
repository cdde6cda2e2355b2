"""python -m tests.autograd.record: run rule_cases in torch on a CPU and write what each allocated and freed.

Of each call: the shapes and types of its results, and every allocation (+bytes) and release (-bytes) in order, of the
call itself and of the backward pass from its first differentiable result; operands and results are held on to. Left out
is the workspace of an operator, and what has 8 bytes or less: numbers that torch wraps as tensors.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from tests.autograd.rule_cases import named

RECORD = Path(__file__).with_name("torch_rules.json")


def operand(text: str, leaves: list[torch.Tensor]) -> torch.Tensor:
    kind, *shape = text.split()
    sizes = [int(n) for n in shape]
    if kind == "i":
        return torch.zeros(sizes, dtype=torch.int64)
    if kind == "b":
        return torch.ones(sizes, dtype=torch.bool)
    made = torch.full(sizes[::-1] if kind == "t" else sizes, 0.5)
    made = made.t() if kind == "t" else made.contiguous(memory_format=torch.channels_last) if kind == "c" else made
    made = made.to(torch.bfloat16) if kind == "h" else made
    made = made.detach().requires_grad_(kind in "ftcho")
    leaves.append(made)
    return made.clone() if kind == "o" else made


def built(value: Any, leaves: list[torch.Tensor]) -> Any:
    if isinstance(value, str) and value[:2] in {"f ", "n ", "t ", "c ", "h ", "i ", "b ", "o "}:
        return operand(value, leaves)
    return [built(v, leaves) for v in value] if isinstance(value, list) else value


def recorded(name: str, args: list[Any]) -> dict[str, Any]:
    leaves: list[torch.Tensor] = []
    function = getattr(torch.ops.aten if hasattr(torch.ops.aten, name) else torch.nn.functional, name)
    operands = built(args, leaves)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = function(*operands)  # caches of libraries
        results = first if isinstance(first, (tuple, list)) else [first]
        root = next((i for i, t in enumerate(results) if t.requires_grad), None)
        seed = torch.ones_like(results[root]) if root is not None else None
        if root is not None:
            results[root].backward(seed)
            for leaf in leaves:
                leaf.grad = None
        del first, results
        operands = built(args, leaves)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof:
            with record_function("## forward"):
                outs = function(*operands)
            outs = outs if isinstance(outs, (tuple, list)) else [outs]
            if root is not None:
                with record_function("## backward"):
                    outs[root].backward(seed)
    found: list[tuple[int, str, int, int, int]] = []

    def visit(event: Any, phase: str, opened: int) -> None:
        phase = event.name[3:] if event.name.startswith("## ") else phase
        opened = opened or (event.start_time_ns if event.name.startswith("aten::") else 0)
        if event.name == "[memory]":
            extra = event.extra_fields
            found.append((event.start_time_ns, phase, extra.alloc_size, extra.ptr, opened))
        for child in event.children:
            visit(child, phase, opened)

    for tree in prof.profiler.kineto_results.experimental_event_tree():
        visit(tree, "", 0)
    found.sort(key=lambda row: row[0])
    both = {phase: tensors([row for row in found if row[1] == phase]) for phase in ("forward", "backward")}
    shapes = [[str(t.dtype).removeprefix("torch."), *t.shape] for t in outs]
    return {"results": shapes, "root": root, **both}


def tensors(rows: list[tuple[int, str, int, int, int]]) -> list[int]:
    """The events without those of what one outermost operator both allocates and frees, its workspace."""
    live: dict[int, tuple[int, int]] = {}
    dropped: set[int] = set()
    for at, (_, _, nbytes, pointer, opened) in enumerate(rows):
        if nbytes > 0:
            live[pointer] = at, opened
        elif pointer in live:
            first, its = live.pop(pointer)
            dropped |= {first, at} if its and its == opened else set()
    return [row[2] for at, row in enumerate(rows) if at not in dropped and abs(row[2]) > 8]


def main() -> None:
    torch.set_num_threads(1)
    record = {}
    for key, (name, args) in named().items():
        try:
            record[key] = recorded(name, args)
        except Exception as error:
            print(f"{key}: {str(error).splitlines()[0]}")  # noqa: T201
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(row)}" for key, row in record.items())
    RECORD.write_text(f'{{"torch": "{torch.__version__}", "calls": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
