"""Free dimensions of the graph's inputs -> numbers, from --dim, --batch, or 1 with a note."""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import TypeAlias

import onnx

from graphmem.ir.errors import ModelError, OptionError
from graphmem.ir.graph import Issue
from graphmem.ir.types import Type
from graphmem.reader.protos import checked, dtype_of, type_of

# A dimension as the file states it: a number, a symbol or expression, or None when it says nothing.
Dim: TypeAlias = "int | str | None"

_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv,  # exporters write "s0/2" where the quotient is whole
    ast.Mod: operator.mod,
}
_FUNCTIONS: dict[str, Callable[..., int]] = {"Max": max, "Min": min, "max": max, "min": min}
# Characters of arithmetic over symbols; a longer text is one symbol with a strange name.
MAX_EXPRESSION = 1_000


@dataclass(frozen=True, slots=True)
class Bindings:
    """Numbers for symbols, for single axes of inputs ("input", axis), and for the batch."""

    symbols: Mapping[str, int]
    axes: Mapping[tuple[str, int], int]
    batch: int | None = None
    is_strict: bool = False

    @property
    def overrides_file(self) -> bool:
        """True when an axis is bound by position, which may contradict the shapes that the file declares."""
        return bool(self.axes)


def bindings(dims: Mapping[str, int], batch: int | None, inputs: Iterable[str], is_strict: bool = False) -> Bindings:
    """Sort `dims` into symbols and axes: "seq" is a symbol, "input_ids:0" axis 0 of an input of that name."""
    names = set(inputs)
    symbols: dict[str, int] = {}
    axes: dict[tuple[str, int], int] = {}
    for key, size in dims.items():
        if size < 0:
            raise OptionError(f"--dim {key}={size}: a dimension cannot be negative")
        name, _, axis = key.rpartition(":")
        if name in names and axis.isdigit():
            axes[name, int(axis)] = size
        else:
            symbols[key] = size
    if batch is not None and batch < 1:
        raise OptionError(f"--batch {batch}: the batch must be at least 1")
    return Bindings(symbols, axes, batch, is_strict)


def fitting(dims: Mapping[str, int], infos: list[onnx.ValueInfoProto]) -> dict[str, int]:
    """Those of `dims` that bind a dimension of these inputs, for settings that many models share."""
    stated = {info.name: declared_dims(info) or [] for info in infos}
    symbols = {name for row in stated.values() for dim in row if isinstance(dim, str) for name in (dim, *_names(dim))}
    axes = {f"{name}:{axis}" for name, row in stated.items() for axis in range(len(row))}
    return {name: size for name, size in dims.items() if name in symbols or name in axes}


def _names(expression: str) -> list[str]:
    """The symbols in arithmetic over symbols."""
    tree = parsed(expression)
    return [] if tree is None else [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]


@lru_cache(maxsize=4096)
def parsed(text: str) -> ast.expr | None:
    """The expression that a text is, or None where it is none or too long for one; Python's warnings are dropped."""
    if len(text) > MAX_EXPRESSION:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def declared_dims(info: onnx.ValueInfoProto) -> list[Dim] | None:
    """Dimensions of a tensor as the file states them, or None without a rank (or when it is no tensor)."""
    tensor = info.type.tensor_type
    if info.type.WhichOneof("value") != "tensor_type" or not tensor.HasField("shape"):
        return None
    return [
        d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else (d.dim_param or None) for d in tensor.shape.dim
    ]


def evaluated(expression: str, symbols: Mapping[str, int]) -> int | None:
    """Value of a symbol or of arithmetic over symbols ("2*s0 + 1"); None if one is not bound or it is negative."""
    if expression in symbols:
        return symbols[expression]
    tree = parsed(expression)
    if tree is None:
        return None
    try:
        size = _value(tree, symbols)
        return size if size >= 0 else None
    except (ValueError, KeyError, ZeroDivisionError, RecursionError, MemoryError, TypeError):
        return None


def _value(node: ast.expr, symbols: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return symbols[node.id]
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_value(node.left, symbols), _value(node.right, symbols))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, symbols)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _FUNCTIONS[node.func.id](*(_value(argument, symbols) for argument in node.args))
    raise ValueError(ast.dump(node))


def _is_expression(dim: str) -> bool:
    """True for arithmetic over symbols, false for one symbol, however strange its name."""
    tree = parsed(dim)
    return tree is not None and not isinstance(tree, ast.Name)


@dataclass(frozen=True, slots=True)
class BoundInputs:
    """Types of the graph's inputs once every dimension is a number, the symbols' values, and what was assumed."""

    types: Mapping[str, Type]
    symbols: Mapping[str, int]
    issues: tuple[Issue, ...]


def bound_inputs(infos: list[onnx.ValueInfoProto], given: Bindings) -> BoundInputs:
    """Bind every free dimension of `infos`; OptionError for a binding that fits nothing, or a free one if strict."""
    dims = {info.name: _with_axes(info, given) for info in infos}
    _check_symbols(dims, given)
    symbols, issues = dict(given.symbols), []
    for name, found in _free(dims, symbols):
        batch = given.batch is not None and _is_batch(name, found, dims)
        if batch:
            assert given.batch is not None
            symbols[found] = given.batch
            issues.append(Issue("batch", name, f"dimension '{found}' is the batch: {given.batch}"))
        elif given.is_strict:
            raise OptionError(f"dimension '{found}' of input '{name}' is free; bind it with --dim {found}=N")
        else:
            symbols[found] = 1
            issues.append(Issue("free-dimension", name, f"'{found}' is free, 1 assumed; bind it with --dim {found}=N"))
    if given.batch is not None and not any(issue.kind == "batch" for issue in issues):
        raise OptionError(_no_batch(dims, given))
    types = {info.name: _bound_type(info, dims[info.name], symbols) for info in infos}
    return BoundInputs(types, symbols, tuple(issues))


def _with_axes(info: onnx.ValueInfoProto, given: Bindings) -> list[Dim] | None:
    """Declared dimensions with the axes bound by position filled in and nameless ones named "input:axis"."""
    dims = declared_dims(info)
    axes = {axis: size for (name, axis), size in given.axes.items() if name == info.name}
    if dims is None and axes and info.type.WhichOneof("value") == "tensor_type":
        dims = [None] * (max(axes) + 1)
    if dims is None:
        return None
    for axis, size in axes.items():
        if axis >= len(dims):
            raise OptionError(f"--dim {info.name}:{axis}={size}: input '{info.name}' has only {len(dims)} dimensions")
        dims[axis] = size
    return [f"{info.name}:{axis}" if dim is None else dim for axis, dim in enumerate(dims)]


def _check_symbols(dims: Mapping[str, list[Dim] | None], given: Bindings) -> None:
    text = " ".join(dim for row in dims.values() for dim in row or () if isinstance(dim, str))
    known = sorted({dim for row in dims.values() for dim in row or () if isinstance(dim, str)})
    for symbol in given.symbols:
        if symbol in known or (symbol.isidentifier() and symbol in text):
            continue
        close = get_close_matches(symbol, known, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"free dimensions are: {', '.join(known) or 'none'}"
        raise OptionError(f"--dim {symbol}: no input has a dimension of that name; {hint}")


def _free(dims: Mapping[str, list[Dim] | None], symbols: dict[str, int]) -> Iterable[tuple[str, str]]:
    """(input, symbol) of dimensions not bound yet, single symbols before expressions; `symbols` grows while it runs."""
    for expressions in (False, True):
        for name, row in dims.items():
            for dim in row or ():
                if isinstance(dim, str) and _is_expression(dim) == expressions and evaluated(dim, symbols) is None:
                    yield name, dim


def _is_batch(name: str, symbol: str, dims: Mapping[str, list[Dim] | None]) -> bool:
    """True for the leading dimension of an input; of a vector only when there is no input of higher rank."""
    row = dims[name] or []
    tallest = max(len(other or ()) for other in dims.values())
    return bool(row) and row[0] == symbol and (len(row) > 1 or tallest == 1)


def _no_batch(dims: Mapping[str, list[Dim] | None], given: Bindings) -> str:
    rows = {name: row for name, row in dims.items() if row}
    if not rows:
        return f"--batch {given.batch}: no input has a dimension"
    name, row = next(iter(rows.items()))
    return (
        f"--batch {given.batch}: no input has a free leading dimension ('{name}' starts with {row[0]}); "
        f"export with a dynamic batch, or force it with --dim {name}:0={given.batch}"
    )


def _bound_type(info: onnx.ValueInfoProto, dims: list[Dim] | None, symbols: Mapping[str, int]) -> Type:
    if dims is None:
        return type_of(info.type, f"input '{info.name}'")
    where = f"input '{info.name}'"
    number = info.type.tensor_type.elem_type
    if not number:
        raise ModelError(f"{where} has no element type; export the model again")
    shape = tuple(dim if isinstance(dim, int) else _bound(dim, symbols) for dim in dims)
    return checked(dtype_of(number, where), shape, where)


def _bound(dim: Dim, symbols: Mapping[str, int]) -> int:
    size = evaluated(str(dim), symbols)
    assert size is not None, f"{dim} was bound before"
    return size


def stated_type(info: onnx.ValueInfoProto, symbols: Mapping[str, int]) -> Type | None:
    """The type that a value_info states once its symbols are numbers, or None when it leaves something open."""
    dims = declared_dims(info)
    if dims is None or not info.type.tensor_type.elem_type:
        return None
    shape = [evaluated(dim, symbols) if isinstance(dim, str) else dim for dim in dims]
    if any(size is None or size < 0 for size in shape):
        return None
    where = f"'{info.name}'"
    known = tuple(size for size in shape if size is not None)
    return checked(dtype_of(info.type.tensor_type.elem_type, where), known, where)
