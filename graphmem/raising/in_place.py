"""Which activations run in place, as far as that is told: by the source line, by the caller, or not at all.

An export writes `LeakyReLU(inplace=True)` as one that is not. In place the result takes the memory of what is read, and
saves itself for the backward pass in its place. Autograd allows that where nothing else needs what is read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from graphmem.ir.program import Call, Program, Ref
from graphmem.raising.draft import Draft

ACTIVATIONS = (
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "hardtanh",
    "silu",
    "mish",
    "hardswish",
    "hardsigmoid",
)
_NEEDED = (  # by their own backward
    "sigmoid", "tanh", "exp", "softmax", "log_softmax", "relu", "sqrt", "rsqrt", "reciprocal", "tan", "expm1",
    "amax", "amin", "logsumexp", "linalg_vector_norm", "cumprod", "prod", "scaled_dot_product_attention",
)  # fmt: skip
_TOLD = re.compile(rf"\b(?:{'|'.join(ACTIVATIONS)})_\(|inplace\s*=\s*True")
_ASKED = re.compile(r"\binplace\b")
_MODULES = "nn/modules/activation.py"


def run_in_place(draft: Draft) -> None:
    """Let the activations run in place that the source line or the caller says to."""
    patterns = draft.options.inplace
    for i in _possible(draft.calls, draft.graph.outputs):
        call = draft.calls[i]
        text = call.origin.frames[-1].text if call.origin.frames else ""
        scope = call.origin.scope or call.outputs[0]
        if _TOLD.search(text) or any(fnmatchcase(scope, pattern) for pattern in patterns):
            draft.calls[i] = _written_over(call)


def all_in_place(program: Program) -> Program:
    """The program with all activations in place of which the file does not tell whether they are."""
    calls = list(program.calls)
    for i in _possible(calls, program.outputs):
        if _is_asked(calls[i]):
            calls[i] = _written_over(calls[i])
    return replace(program, calls=tuple(calls))


def _written_over(call: Call) -> Call:
    return replace(call, target=f"aten.{_name(call)}_")


def _name(call: Call) -> str:
    return call.target.split(".")[1]


def _is_asked(call: Call) -> bool:
    """A functional call whose line has no such argument makes a result of its own; modules pass their own flag on."""
    if not call.origin.frames:
        return True
    frame = call.origin.frames[-1]
    return frame.file.endswith(_MODULES) or bool(_ASKED.search(frame.text))


def _possible(calls: Sequence[Call], outputs: Sequence[str]) -> list[int]:
    """Positions of activations that may write over what they read."""
    readers = Counter(name for call in calls for name in call.reads)
    makers = {name: call for call in calls for name in call.outputs}
    found = []
    for i, call in enumerate(calls):
        x = call.args[0] if call.args else None
        maker = makers.get(x.name) if isinstance(x, Ref) else None
        if _name(call) not in ACTIVATIONS or maker is None or not call.is_recorded or not isinstance(x, Ref):
            continue
        if readers[x.name] == 1 and x.name not in outputs and _name(maker) not in _NEEDED:
            found.append(i)
    return found
