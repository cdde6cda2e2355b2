"""A batch norm in the exporter's text -> the batch norm, put back where the optimizer folded it into a convolution."""

from __future__ import annotations

from collections.abc import Sequence

from graphmem.autograd.program import Ref
from graphmem.autograd.raising.draft import NORM, Draft
from graphmem.autograd.raising.fxtext import FxNode
from graphmem.autograd.raising.structure import convolution
from graphmem.ir.graph import Node


def raise_norm(draft: Draft, fx: FxNode, group: Sequence[Node], output: str) -> None:
    """A batch norm written to `output`, or one that was folded into the convolution before it and is put back."""
    names = [arg.name[2:] if isinstance(arg, Ref) else "" for arg in fx.args[1:5]]
    conv = next((n for n in group if n.op_type in ("Conv", "ConvTranspose")), None)
    if conv is None:
        node = next((n for n in group if n.op_type == "BatchNormalization"), group[-1])
        output = node.outputs[0] if node.op_type == "BatchNormalization" else output
        source = draft.renamed.get(node.inputs[0], node.inputs[0])
        draft.batch_norm(source, output, names[0].removesuffix("_weight"), group[-1].origin, names)
        return
    scope = names[0].removesuffix("_weight")
    if not draft.infers(NORM, scope, f"rule FuseBatchNormInto{conv.op_type}"):
        convolution(draft, conv, conv.outputs[0], len(conv.inputs) > 2)
        return
    before = f"{conv.outputs[0]} before batch norm"
    convolution(draft, conv, before, _had_bias(draft, conv))
    draft.batch_norm(before, conv.outputs[0], scope, conv.origin, names)


def _had_bias(draft: Draft, conv: Node) -> bool:
    """True when the convolution had a bias before the norm was folded into it (onnxscript, fuse_batchnorm.py).

    The rule keeps the name of a bias, and makes one from the weight's name where there was none.
    """
    bias = conv.inputs[2] if len(conv.inputs) > 2 else ""
    if bias == f"{conv.inputs[1]}_bias":
        return False
    rules = [rule.strip() for rule in conv.origin.rewrites.split(",")]
    at = next((i for i, rule in enumerate(rules) if rule.startswith("FuseBatchNormInto")), 0)
    return "RemoveOptionalBiasFromConv" not in rules[:at]
