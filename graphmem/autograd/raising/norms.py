"""A batch norm in the exporter's text -> the batch norm, put back where the optimizer folded it into a convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphmem.autograd.program import Ref
from graphmem.autograd.raising.draft import NORM, Draft
from graphmem.autograd.raising.fxtext import FxNode
from graphmem.autograd.raising.lost import padded
from graphmem.autograd.raising.operands import operand
from graphmem.autograd.raising.structure import convolution, raise_node
from graphmem.ir.graph import Node


def raise_norm(draft: Draft, fx: FxNode, group: Sequence[Node], output: str) -> None:
    """A batch norm written to `output`, or one that was folded into the convolution before it and is put back."""
    names = [arg.name[2:] if isinstance(arg, Ref) else "" for arg in fx.args[1:5]]
    conv = next((n for n in group if n.op_type in ("Conv", "ConvTranspose", "Gemm")), None)
    if conv is None:
        node = next((n for n in group if n.op_type == "BatchNormalization"), group[-1])
        output = node.outputs[0] if node.op_type == "BatchNormalization" else output
        source = draft.renamed.get(node.inputs[0], node.inputs[0])
        draft.batch_norm(source, output, names[0].removesuffix("_weight"), group[-1].origin, names)
        return
    scope = names[0].removesuffix("_weight")
    if not draft.infers(NORM, scope, f"rule FuseBatchNormInto{conv.op_type}"):
        raise_node(draft, conv)
        return
    before = f"{conv.outputs[0]} before batch norm"
    if conv.op_type == "Gemm":
        _linear(draft, conv, before)
    else:
        convolution(draft, conv, before, _had_bias(draft, conv))
    if "FuseConvPad" in conv.origin.rewrites:
        last = draft.calls.pop()
        args = (padded(draft, conv), *last.args[1:4], [0] * len(last.args[4]), *last.args[5:])
        draft.calls.append(replace(last, args=args))
    draft.batch_norm(before, conv.outputs[0], scope, conv.origin, names)


def _linear(draft: Draft, gemm: Node, output: str) -> None:
    """The linear layer before the norm that was folded into it."""
    type_ = draft.type_of(gemm.outputs[0])
    args = [operand(draft, name) for name in gemm.inputs[: 3 if _had_bias(draft, gemm) else 2]]
    draft.emit("aten.linear", tuple(args), (output,), gemm.origin, (type_,) if type_ else ())


def _had_bias(draft: Draft, conv: Node) -> bool:
    """True when the convolution had a bias before the norm was folded into it (onnxscript, fuse_batchnorm.py).

    The rule keeps the name of a bias, and makes one from the weight's name where there was none.
    """
    if len(conv.inputs) < 3 or conv.inputs[2] == f"{conv.inputs[1]}_bias":
        return False  # a norm that was never trained shifts by 0, which is removed; a bias of its own would be left
    rules = [rule.strip() for rule in conv.origin.rewrites.split(",")]
    at = next((i for i, rule in enumerate(rules) if rule.startswith("FuseBatchNormInto")), 0)
    return "RemoveOptionalBiasFromConv" not in rules[:at]
