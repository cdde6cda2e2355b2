"""A name in the text of a call that the file no longer holds -> what stands for it.

The exporter's optimizer removes values (dropouts, copies), merges equal weights and folds transposes into them. A
removed value stands for the group's own input that nothing else accounts for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphmem.ir.graph import Node, Origin
from graphmem.ir.program import Ref, Role
from graphmem.ir.types import TensorType
from graphmem.raising.call_text import FxNode
from graphmem.raising.draft import DROPOUT, Draft
from graphmem.raising.folded import equal_parameter, folded_parameter, folded_piece

ROLES: dict[str, Role] = {"p_": "parameter", "b_": "buffer", "c_": "constant"}
LEFT_OUT = f"{DROPOUT}; give --dropout P"
_VIEWS = ("aten.select", "aten.unbind", "aten.split", "aten.chunk", "aten.transpose", "aten.permute", "aten.slice")
_STRIDED = ("aten.transpose", "aten.permute", "aten.slice", "aten.expand", "aten.split", "aten.t.")
_PADS = ("pad", "constant_pad_nd")
_COPIES = ("aten._unsafe_view", "aten.view", "aten.reshape")
_CONVOLUTIONS = ("aten.conv", "aten.convolution")
_PER_CHANNEL = ("aten.group_norm", "aten.instance_norm", "aten.prelu")


@dataclass(frozen=True, slots=True)
class Lost:
    """An argument that the file no longer holds under its name."""

    name: str

    @property
    def role(self) -> Role | None:
        """Its role, when it is a weight."""
        return ROLES.get(self.name[:2])


def value_of(draft: Draft, fx: FxNode, item: Lost, source: str | None, group: Sequence[Node]) -> Any:
    """A removed activation: what the group reads instead, through a dropout when the text says so."""
    if source is None:
        return _computed(draft, item.name)
    known = _known(draft, fx, item, source, group)
    if known is not None:
        return known
    found = draft.renamed.get(source, source)
    if not item.name.startswith("clone") or fx.target.startswith(_COPIES):
        return Ref(found)
    if fx.target.startswith(_VIEWS):
        return _contiguous(draft, item, source, found, group)
    maker = draft.maker.get(source)
    made = draft.maker_of(found)
    if made is not None and made.target.startswith(_STRIDED) and not fx.target.startswith("aten.add"):
        return _contiguous(draft, item, source, found, group)
    draft.standing[item.name] = source
    p = draft.p_after(maker.standard_type if maker else "")
    return lost_dropout(draft, item.name, found, group[-1].origin, draft.type_of(source), p)


def _computed(draft: Draft, name: str) -> Ref | None:
    """A tensor that the file has worked out before the run, such as positions; sizes are plain numbers when eager."""
    type_ = draft.type_of(name)
    return Ref(name) if type_ is not None and type_.shape and not name.startswith("sym_") else None


def lost_dropout(
    draft: Draft, name: str, source: str, origin: Origin, type_: TensorType | None, p: float | None = None
) -> Ref:
    """The copy `name` of a value that evaluation mode made of a dropout, as the dropout that it is in training."""
    p = draft.p_after("") if p is None else p
    where = origin.scope or name
    evidence = f"%{name} of the text, which the optimizer removed"
    if not p:
        draft.note(LEFT_OUT, where, evidence)
    elif not draft.infers(DROPOUT, where, evidence):
        p = 0.0
    draft.emit_after(source, "aten.dropout", (Ref(source), p, True), name, type_)
    return Ref(name)


def _known(draft: Draft, fx: FxNode, item: Lost, source: str, group: Sequence[Node]) -> Ref | None:
    """A detached value, a piece of a parameter, or a pad that was folded into the group's convolution."""
    if item.name.startswith("detach"):
        found = draft.renamed.get(source, source)
        draft.standing[item.name] = source
        draft.emit_after(found, "aten.detach", (Ref(found),), item.name, draft.type_of(source))
        return Ref(item.name)
    piece = folded_piece(draft, source) or equal_parameter(draft, item.name, source)
    conv = next((n for n in group if "FuseConvPad" in n.origin.rewrites), None)
    if piece is not None or conv is None or not item.name.startswith(_PADS):
        return piece
    return padded(draft, conv, list(fx.args[4]) if len(fx.args) > 4 else [])


def padded(draft: Draft, conv: Node, own: Sequence[int] = ()) -> Ref:
    """The input of a convolution that the optimizer folded a pad into, padded; `own` is the convolution's padding."""
    pads = conv.attributes.get("pads", ())
    rank = len(pads) // 2
    own = own or (0,) * rank
    flat = [n for d in reversed(range(rank)) for n in (pads[d] - own[d], pads[rank + d] - own[d])]
    name = f"{conv.outputs[0]} padded"
    source = draft.renamed.get(conv.inputs[0], conv.inputs[0])
    draft.emit("aten.constant_pad_nd", (Ref(source), flat, 0.0), (name,), conv.origin, ())
    return Ref(name)


def _contiguous(draft: Draft, item: Lost, source: str, found: str, group: Sequence[Node]) -> Ref:
    type_ = draft.type_of(source)
    draft.standing[item.name] = source
    draft.emit_after(found, "aten.contiguous", (Ref(found),), item.name, type_)
    return Ref(item.name)


def weight_of(draft: Draft, fx: FxNode, item: Lost, source: str | None, group: Sequence[Node]) -> Any:
    """A weight that was merged with an equal one, or folded: its name from the text, its shape from the call."""
    assert item.role is not None
    name = item.name[2:]
    if name in draft.extra:
        return Ref(name)
    type_ = _weight_type(draft, fx, item, source, group)
    if type_ is None:
        return None
    if item.role == "constant" and source is not None:
        return Ref(source)
    return draft.add(name, item.role, type_)


def _weight_type(draft: Draft, fx: FxNode, item: Lost, source: str | None, group: Sequence[Node]) -> TensorType | None:
    place = next((i for i, arg in enumerate(fx.args) if isinstance(arg, Ref) and arg.name == item.name), -1)
    found = draft.type_of(source) if source is not None else None
    out = next((t for n in reversed(group) for o in n.outputs if (t := draft.type_of(o)) is not None), None)
    if fx.target.startswith("aten.linear") and out is not None:
        product = next((n for n in group if n.standard_type in ("MatMul", "Gemm")), None)
        inner = draft.type_of(product.inputs[0]) if product else None
        if place == 2:
            return TensorType(out.dtype, out.shape[-1:])
        return TensorType(out.dtype, (out.shape[-1], inner.shape[-1])) if inner else found
    if fx.target.startswith("aten.layer_norm"):
        return TensorType(out.dtype if out else "float32", tuple(fx.args[1]))
    is_bias = (fx.target.startswith(_CONVOLUTIONS) and place == 2) or fx.target.startswith(_PER_CHANNEL)
    if is_bias and out is not None and len(out.shape) > 1:
        return TensorType(out.dtype, (out.shape[1],))
    if fx.target.startswith("aten.addmm") and place == 0 and out is not None:
        return TensorType(out.dtype, out.shape[-1:])
    return found


def resolved(draft: Draft, value: object) -> object:
    """An argument of the text as the file knows it: a Ref, a plain value, or Lost."""
    if isinstance(value, list | tuple):
        return [resolved(draft, item) for item in value]
    if not isinstance(value, Ref):
        return value
    name = draft.renamed.get(value.name, value.name)
    role = ROLES.get(name[:2])
    if role is not None and name[2:] in draft.spelled:
        found = draft.spelled[name[2:]]
        draft.roles[found] = role
        return Ref(found)
    if role is not None and name[2:] in draft.extra:
        return Ref(name[2:])
    if role is None and name not in draft.made and name in draft.held:
        folded = folded_parameter(draft, name)
        if folded is not None:
            return folded
        draft.roles.setdefault(name, "constant")
        draft.computed.add(name)
    exists = name in draft.made or name in draft.graph.inputs or (role is None and name in draft.held)
    return Ref(name) if exists else Lost(name)


def leaves(values: object, kind: type) -> list[Any]:
    """The parts of nested arguments that are of that kind."""
    if isinstance(values, kind):
        return [values]
    return [leaf for v in values for leaf in leaves(v, kind)] if isinstance(values, list | tuple) else []


def put(value: object, stand: dict[str, Any]) -> object:
    """The argument with what stands for lost names in their place."""
    if isinstance(value, list | tuple):
        return [put(item, stand) for item in value]
    return stand.get(value.name) if isinstance(value, Lost) else value
