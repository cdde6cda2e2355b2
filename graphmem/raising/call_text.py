"""Text of a torch.fx node -> name, target, arguments.

%linear : [num_users=1] = call_function[target=torch.ops.aten.linear.default](args = (%x, %p_w), kwargs = {})
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphmem.ir.program import Ref

_HEAD = re.compile(r"%([\w.]+) .*?= call_function\[target=([\w.<> ]+)\]\(args = ")
_TOKEN = re.compile(
    r"\s*(%[\w.]+|[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?(?![\w.])|[-+]?(?:inf|nan)\b|[A-Za-z_][\w.:]*|[()\[\]{},:]|\S)"
)
_EQUATION = re.compile(r"\(([\w. ,]*->[\w. ]*)(?=, \[)")  # of einsum, which torch.fx prints without quotes
_DTYPES = {
    "float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32", "short": "int16",
    "complex64": "complex64", "float8_e4m3fn": "float8e4m3fn", "float8_e5m2": "float8e5m2",
}  # fmt: skip
_WORDS = {"None": None, "True": True, "False": False, "inf": float("inf"), "nan": float("nan")}


@dataclass(frozen=True, slots=True)
class FxNode:
    """One call of the exported graph; Refs carry the names of torch.fx, without the percent sign."""

    name: str
    target: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@lru_cache(maxsize=65_536)
def parsed(text: str) -> FxNode | None:
    """The node, or None when the text is not a function call."""
    head = _HEAD.match(text)
    if head is None:
        return None
    name, target = head.groups()
    rest = text[head.end() :]
    equation = _EQUATION.match(rest)
    if equation is not None:
        rest = f"(_{rest[equation.end() :]}"
    tokens = _TOKEN.findall(rest)
    reader = _Reader(tokens)
    try:
        args = reader.value()
        kwargs = reader.keywords()
    except (IndexError, ValueError):
        return None
    if equation is not None:
        args = [equation[1], *args[1:]]
    target = target.removeprefix("torch.ops.")
    return FxNode(name, target, tuple(args) if isinstance(args, list) else (args,), kwargs)


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0

    def next(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1]

    def value(self) -> Any:
        token = self.next()
        if token in "([":
            return self._items({"(": ")", "[": "]"}[token])
        if token == "{":
            return self._mapping()
        if token.startswith("%"):
            return Ref(token[1:])
        if token in _WORDS:
            return _WORDS[token]
        if token[0].isdigit() or (token[0] in "+-" and len(token) > 1):
            return _number(token)
        return _word(token)

    def _items(self, end: str) -> list[Any]:
        items = []
        while self.tokens[self.at] != end:
            items.append(self.value())
            if self.tokens[self.at] == ",":
                self.at += 1
        self.at += 1
        return items

    def _mapping(self) -> dict[str, Any]:
        entries = {}
        while self.tokens[self.at] != "}":
            key = self.next().removesuffix(":")
            if self.tokens[self.at] == ":":
                self.at += 1
            entries[key] = self.value()
            if self.tokens[self.at] == ",":
                self.at += 1
        self.at += 1
        return entries

    def keywords(self) -> dict[str, Any]:
        while self.next() != "{":
            pass
        self.at -= 1
        found = self.value()
        return found if isinstance(found, dict) else {}


def _number(token: str) -> int | float:
    try:
        return int(token)
    except ValueError:
        return float(token)


def _word(token: str) -> str:
    """A dtype as the rest of the package spells it, another word as it is."""
    if token.startswith("torch."):
        token = token.removeprefix("torch.")
        return _DTYPES.get(token, token)
    return token
