"""Bytes that ONNX Runtime's CPU kernels allocate for themselves, alive only while their node runs (one thread).

Every rule was probed by running the operator alone under the allocation tracer (benchmarks/ort_probe_workspace.py);
what depends on the machine (vector width, cache) is that of an x86-64 server with AVX-512. A kernel without a rule has
no workspace when ort_no_workspace.py lists its operator, and else a workspace that is not known.
"""

from __future__ import annotations

from graphmem.ir.graph import Node
from graphmem.ops import ort_attention, ort_conv, ort_einsum, ort_elementwise, ort_quantized, ort_recurrent
from graphmem.ops.ort_kernel import Kernel, Rules
from graphmem.ops.ort_no_workspace import NO_WORKSPACE

RULES: Rules = {
    **ort_attention.RULES,
    **ort_conv.RULES,
    **ort_einsum.RULES,
    **ort_elementwise.RULES,
    **ort_quantized.RULES,
    **ort_recurrent.RULES,
}


def workspace(domain: str, kernel: Kernel) -> tuple[int, ...]:
    """Sizes of the workspaces alive together; none for a kernel without, or with unknown types (an Issue says so)."""
    rule = RULES.get((domain, kernel.op_type))
    if rule is None:
        return ()
    try:
        sizes = rule(kernel)
    except KeyError:
        return ()
    return (sizes,) if isinstance(sizes, int) else sizes


def has_known_workspace(node: Node) -> bool:
    """False for a node whose kernel may allocate more than `workspace` tells; bodies are looked at on their own."""
    key = (node.domain, node.op_type)
    if node.bodies or key == ("", "Constant"):
        return True
    if key == ("", "Einsum"):
        return len(node.inputs) <= 2  # more operands were not all probed
    if key == ("com.microsoft", "GroupQueryAttention"):
        return not node.attributes.get("do_rotary", 0)  # rotated copies have no rule
    return key in RULES or key in NO_WORKSPACE


def packing(domain: str, kernel: Kernel) -> int:
    """Bytes of the buffer in which the thread packs 8-bit matrices; it is kept for the next such node and run."""
    return ort_quantized.packing(domain, kernel)
