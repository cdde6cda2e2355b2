"""Integrity: every rule of the onnxruntime memory model against the onnxruntime installed, one tiny network per rule.

When a new version breaks one, its name says which; the supported range is in graphmem/ort/graph.py.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from graphmem.ir.runtime import SessionOptions
from graphmem.ort.graph import is_known
from graphmem.ort.verify import verify

# rule -> (a network that would come out differently without it, optimization level)
RULES: dict[str, tuple[str, str]] = {
    "execution order and free-list reuse": (
        (
            "g (float[32,64] x) => (float[32,64] y) { a = Exp(x) b = Neg(a) c = Sin(b) d = Neg(c) e = Cos(d) "
            "f = Add(b, e) h = Exp(x) i = Neg(h) y = Mul(f, i) }"
        ),
        "off",
    ),
    "aliases, and fresh graph outputs": (
        (
            "g (float[32,64] x) => (float[1,2048] y, float[32,64] z) { a = Exp(x) b = Flatten<axis = 0>(a) z = Neg(a) "
            "c = Neg(b) y = Add(b, c) }"
        ),
        "off",
    ),
    "in place": ("g (float[32,64] x) => (float[32,64] y) { a = Exp(x) b = Relu(a) c = Clip(b) y = Neg(c) }", "off"),
    "values that nobody reads": (
        (
            "g (float[64,64] x) => (float[32,64] y, float[32,64] z) { p = Neg(x) q = Neg(p) y, b = Split<axis = 0>(q) "
            "z, d = Split<axis = 0>(q) }"
        ),
        "off",
    ),
    "workspace: Where, Softmax on an inner axis": (
        (
            "g (float[32,64] x, bool[32,1] c) => (float[32,64] y) { a = Softmax<axis = 0>(x) b = Where(c, a, x) "
            "y = Exp(b) }"
        ),
        "off",
    ),
    "the shapes known at load, after optimization": (
        (
            "g (float[2,8,16] x, float[16,16] w) => (float[2,8,16] y) { s = Shape(x) r = Reshape(x, s) "
            "a = MatMul(r, w) b = Sigmoid(a) c = Mul(a, b) d = Transpose<perm = [0, 1, 2]>(c) y = Neg(d) }"
        ),
        "all",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_rule(rule: str, model: Callable[..., Path]) -> None:
    text, level = RULES[rule]
    found = verify(model(text), session=SessionOptions(optimization=level))
    off = [f"{t.label}: {t.predicted} predicted, {t.measured} measured, {t.parting}" for t in found.trials]
    assert found.agrees, (rule, off)


@pytest.mark.parametrize(("number", "known"), [("1.31.1", True), ("1.30.9", False), ("1.32.0", False), ("2.0", False)])
def test_the_rules_are_tied_to_a_range_of_versions(number: str, known: bool) -> None:
    assert is_known(number) is known


def test_the_installed_version_is_in_the_range_or_noted(model: Callable[..., Path]) -> None:
    found = verify(model("g (float[4] x) => (float[4] y) { y = Neg(x) }"))
    noted = any(issue.where == "onnxruntime" for issue in found.issues)
    assert noted is not is_known(version("onnxruntime"))
