"""What is known of a kernel's workspace: a rule, that there is none, or nothing; never two of them."""

from __future__ import annotations

from typing import Any

import pytest

from graphmem.ir.graph import Node
from graphmem.ort.kernels.workspace import NO_WORKSPACE, RULES, has_known_workspace

MS = "com.microsoft"


def test_no_operator_has_both_a_rule_and_none() -> None:
    assert not NO_WORKSPACE & RULES.keys()


@pytest.mark.parametrize(
    ("known", "domain", "op_type", "inputs", "attributes"),
    [
        (True, "", "MatMul", 2, {}),
        (True, "", "Conv", 2, {}),
        (True, "", "Constant", 0, {}),
        (True, "", "Einsum", 2, {"equation": "ij,jk->ik"}),
        (False, "", "Einsum", 3, {"equation": "ij,jk,kl->il"}),
        (True, MS, "GroupQueryAttention", 7, {}),
        (True, MS, "GroupQueryAttention", 7, {"do_rotary": 0}),
        (False, MS, "GroupQueryAttention", 9, {"do_rotary": 1}),
        (False, MS, "MatMulNBits", 3, {}),
        (False, MS, "MoE", 4, {}),
        (False, MS, "MatMul", 2, {}),  # a name in another domain is another operator
        (False, "", "STFT", 3, {}),
        (False, "my.own", "Anything", 1, {}),
    ],
)
def test_what_is_known(known: bool, domain: str, op_type: str, inputs: int, attributes: dict[str, Any]) -> None:
    node = Node("n", op_type, domain, tuple(f"x{i}" for i in range(inputs)), ("y",), attributes)
    assert has_known_workspace(node) is known
