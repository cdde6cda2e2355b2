"""(Program, precision) -> the Program of `model.to(dtype)`; an operator's arguments -> those that torch.autocast makes.

A file keeps no trace of casts that did nothing when it was exported. Two are put back: the cast after a softmax that is
asked for a float32 result, without which PyTorch would refuse the program, and those around RMS norms, which compute in
float32 in torch (layer_norm.cpp) and in transformers.

Under autocast an operator with a policy gets its tensors cast and runs, with all that it is made of, outside of
autocast; one without is passed through, and the operators that it is made of are looked up in their turn. Names have
no overload: those that the exporter writes for the insides of a composed operator (`_softmax`, `convolution`) stand
for it.

Sources: aten/src/ATen/autocast_mode.h and .cpp of torch 2.13 (lists, cached_cast: only casts to the lower precision of
float32 leaves that need a gradient are kept, until the outermost context exits), cudnn/AutocastRNN.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from graphmem.autograd import ops
from graphmem.autograd.machine import Machine
from graphmem.autograd.tensor import Tensor
from graphmem.autograd.trace import Autocast
from graphmem.ir.program import Call, Conclusion, Program, Ref
from graphmem.ir.types import TensorType

_FLOATS = ("float64", "float32", "float16", "bfloat16")
_SOFTMAX = ("aten.softmax", "aten._softmax", "aten.log_softmax", "aten._log_softmax")
_MADE = ("aten.zeros", "aten.full", "aten.new_zeros", "aten.expand")
_RECURRENT = ("aten.lstm", "aten.gru", "aten.rnn_")
_TO = "aten._to_copy.default"
_WIDE_NORM = re.compile(
    r"torch\.nn\.modules\.normalization\.RMSNorm|transformers\.models\.\w+\.modeling_\w+\.(\w*RMSNorm|\w*T5LayerNorm)"
)


@dataclass(frozen=True, slots=True)
class Precision:
    """`dtype`: of the whole model, as the file has it when empty. `autocast`: the lower type of mixed precision."""

    dtype: str = ""
    autocast: str = ""
    is_scaled: bool = False  # the loss is scaled by torch.amp.GradScaler


PRECISIONS: dict[str, Precision] = {
    "fp32": Precision(),
    "bf16": Precision("bfloat16"),
    "fp16": Precision("float16"),
    "bf16-amp": Precision(autocast="bfloat16"),
    "fp16-amp": Precision(autocast="float16", is_scaled=True),
}


def prepared(program: Program, precision: str) -> Program:
    """The program as PyTorch runs it in that precision; the program itself for fp32."""
    if precision == "fp32":
        return program
    casts: list[Conclusion] = []
    dtype = PRECISIONS[precision].dtype
    calls = [c for call in program.calls for c in (_retyped_call(call, dtype, casts) if dtype else [call])]
    parameters = {g.name for g in program.of("parameter")}
    return replace(
        program,
        calls=tuple(_first_states(_wide_norms(calls, parameters, casts))),
        given=tuple(replace(g, type=_type(g.type, dtype)) for g in program.given),
        output_type=_type(program.output_type, dtype) if program.output_type else None,
        loose={name: _type(t, dtype) for name, t in program.loose.items()},
        inferred=(*program.inferred, *casts),
    )


def _type(type_: TensorType, dtype: str) -> TensorType:
    return TensorType(dtype, type_.shape) if dtype and type_.dtype in _FLOATS else type_


def _retyped_call(call: Call, dtype: str, casts: list[Conclusion]) -> Iterator[Call]:
    types = tuple(_type(t, dtype) for t in call.types)
    wide = [v for v in (*call.args, *call.kwargs.values()) if isinstance(v, str) and v in _FLOATS]
    if wide and call.target.startswith(_SOFTMAX):
        inner = f"{call.outputs[0]}.wide"
        yield replace(call, outputs=(inner,))
        yield Call(_TO, (Ref(inner),), call.outputs, types, {"dtype": dtype}, call.origin)
        casts.append(Conclusion("cast after softmax", call.origin.scope or call.outputs[0], "it is asked for float32"))
        return

    def value(v: Any) -> Any:
        return dtype if isinstance(v, str) and v in _FLOATS else v

    kwargs = {key: value(v) for key, v in call.kwargs.items()}
    yield replace(call, types=types, args=tuple(value(a) for a in call.args), kwargs=kwargs)


def _wide_norms(calls: Sequence[Call], parameters: Set[str], casts: list[Conclusion]) -> Iterator[Call]:
    """RMS norms, which compute in float32 and return the type of their input."""
    position = 0
    while position < len(calls):
        first = calls[position]
        stop = position + 1
        if first.target.startswith("aten.pow") and _WIDE_NORM.fullmatch(first.origin.module):
            while stop < len(calls) and calls[stop].origin.scope == first.origin.scope:
                stop += 1
            casts.append(Conclusion("float32 inside of a norm", first.origin.scope, first.origin.module))
            write = _fused if first.origin.module.startswith("torch.") else _widened
            yield from write(calls[position:stop], parameters)
        else:
            yield first
        position = stop


def _first_states(calls: Iterable[Call]) -> Iterator[Call]:
    """torch's recurrent modules make the first state in the type of their input."""
    made: dict[str, Call] = {}
    for call in calls:
        if call.target.startswith(_MADE):
            made.update(dict.fromkeys(call.outputs, call))
        if not call.target.startswith(_RECURRENT):
            yield call
            continue
        typed = {name: f"{name}.of.{call.outputs[0]}" for name in call.reads if name in made}
        for name, first in typed.items():
            yield _like(name, call.args[0].name, first, call)
        states = call.args[1]
        given = (
            list(_renamed(tuple(states), typed)) if isinstance(states, list | tuple) else _renamed((states,), typed)[0]
        )
        yield replace(call, args=(call.args[0], given, *call.args[2:]))


def _fused(group: Sequence[Call], parameters: Set[str]) -> Iterator[Call]:
    """torch.nn.RMSNorm is one call."""
    weights = [Ref(a.name) for c in group for a in c.args if isinstance(a, Ref) and a.name in parameters]
    x = group[0].args[0]
    last = group[-1]
    rank = next((len(call.args[1]) for call in group if call.target.startswith("aten.mean")), 1)
    shape = list(group[0].types[0].shape[-rank:]) if group[0].types else [1]
    yield Call("aten.rms_norm.default", (x, shape, *weights[:1]), last.outputs, last.types, {}, last.origin)


def _widened(group: Sequence[Call], parameters: Set[str]) -> Iterator[Call]:
    """As transformers writes it: weight * (x.float() * rsqrt(x.float()**2 ...)).to(dtype of x)."""
    first, last = group[0], group[-1]
    before = first.args[0].name
    wide, narrow = f"{first.outputs[0]}.wide", f"{last.outputs[0]}.narrow"
    widened = {before: wide}
    yield Call(_TO, (Ref(before),), (wide,), (), {"dtype": "float32"}, first.origin)
    for call in group[:-1]:
        yield replace(call, args=_renamed(call.args, widened))
        if first.origin.module.endswith("T5LayerNorm"):
            widened = {}  # only the square is taken in float32
    normed = [a.name for a in last.args if isinstance(a, Ref) and a.name not in parameters]
    if len(normed) == 1 and len(last.args) == 2:
        yield _like(normed[0], before, narrow, last)
        yield replace(last, args=_renamed(last.args, {normed[0]: narrow}))
        return
    yield replace(last, args=_renamed(last.args, widened), outputs=(narrow,))
    yield _like(narrow, before, last.outputs[0], last)


def _like(source: str, other: str, result: str, near: Call) -> Call:
    return Call("aten.type_as.default", (Ref(source), Ref(other)), (result,), (), {}, near.origin)


def _renamed(args: tuple[Any, ...], names: dict[str, str]) -> tuple[Any, ...]:
    return tuple(Ref(names.get(a.name, a.name)) if isinstance(a, Ref) else a for a in args)


_BOTH_LOW = (
    "addbmm addmm baddbmm bmm conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d "
    "convolution linalg_vecdot linear matmul __matmul__ mm prelu scaled_dot_product_attention"
)
_BOTH_FP32 = (
    "binary_cross_entropy_with_logits cdist cosine_embedding_loss hinge_embedding_loss huber_loss kl_div l1_loss "
    "margin_ranking_loss mse_loss multi_margin_loss multilabel_margin_loss nll_loss nll_loss2d nll_loss_forward "
    "poisson_nll_loss prod smooth_l1_loss soft_margin_loss triplet_margin_loss"
)
_LOW = {
    "cpu": "_addmm_activation mkldnn_rnn_layer",
    "cuda": "addmv addr chain_matmul einsum gru gru_cell linalg_multi_dot lstm lstm_cell mv rnn_relu rnn_tanh "
    "rnn_relu_cell rnn_tanh_cell",
}
_FP32 = {
    "cpu": "adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d binary_cross_entropy cross_entropy_loss ctc_loss "
    "fft_fft fft_fft2 fft_fftn fft_hfft fft_ifft fft_ifft2 fft_ifftn fft_ihfft fft_irfft fft_irfftn fft_rfft "
    "grid_sampler grid_sampler_2d grid_sampler_3d inverse linalg_inv linalg_solve max_pool3d max_unpool2d max_unpool3d "
    "nanquantile pinverse polar quantile reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d "
    "replication_pad3d stft trace view_as_complex",
    # softmax to linalg_vector_norm are asked for a float32 result, which takes the same memory as a cast input
    "cuda": "acos asin cosh erfinv exp expm1 log log10 log1p log2 reciprocal rsqrt sinh tan pow softplus layer_norm "
    "native_layer_norm rms_norm _fused_rms_norm group_norm native_group_norm frobenius_norm nuclear_norm "
    "cosine_similarity dist pdist renorm logsumexp upsample_nearest1d _upsample_nearest_exact1d upsample_nearest2d "
    "_upsample_nearest_exact2d upsample_nearest3d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d "
    "_upsample_bilinear2d_aa upsample_trilinear3d upsample_bicubic2d _upsample_bicubic2d_aa softmax _softmax "
    "_safe_softmax log_softmax _log_softmax cumprod cumsum linalg_matrix_norm linalg_vector_norm norm sum",
}
_WIDEST = {
    "cpu": "cat index_copy stack",
    "cuda": "addcdiv addcmul atan2 bilinear cross dot grid_sampler grid_sampler_2d grid_sampler_3d index_put "
    "scatter_add tensordot vdot",
}
POLICIES: dict[str, dict[str, str]] = {
    device: {
        **dict.fromkeys((_BOTH_LOW + " " + _LOW[device]).split(), "lower precision"),
        **dict.fromkeys((_BOTH_FP32 + " " + _FP32[device]).split(), "float32"),
        **dict.fromkeys(_WIDEST[device].split(), "widest"),
    }
    for device in ("cpu", "cuda")
}


@contextmanager
def autocast(m: Machine, dtype: str) -> Iterator[None]:
    """`with torch.autocast(device, dtype)`; nothing when `dtype` is empty. Its end frees the cached casts."""
    if not dtype:
        yield
        return
    before = m.autocast
    state = Autocast(dtype, before.cache if before else {})
    try:
        with m.within(autocast=state):
            yield
    finally:
        if before is None:
            for tensor in state.cache.values():
                m.release(tensor)


def called(m: Machine, name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What the rule `function` makes of the operator `name` (as "aten.linear") inside the machine's autocast."""
    state, policy = m.autocast, POLICIES[m.device].get(name.partition(".")[2])
    if state is None or policy is None:
        return function(m, *args, **kwargs)
    dtype = {"lower precision": state.dtype, "float32": "float32"}.get(policy) or _widest([*args, *kwargs.values()])
    # C++ compilers evaluate the arguments of a call from the last to the first
    named = {key: _cast(m, state, kwargs[key], dtype) for key in reversed([*kwargs])}
    given = [_cast(m, state, value, dtype) for value in reversed(args)][::-1]
    with m.within(autocast=None):
        return function(m, *given, **named)


def _cast(m: Machine, state: Autocast, value: Any, dtype: str) -> Any:
    if isinstance(value, list | tuple):
        return [_cast(m, state, item, dtype) for item in value]
    if not isinstance(value, Tensor) or value.dtype in (dtype, "float64") or "float" not in value.dtype:
        return value
    is_kept = dtype == state.dtype and value.dtype == "float32" and value.requires_grad and value.node is None
    if not is_kept or value.is_view:
        return ops.cast(m, value, dtype)
    if id(value) not in state.cache:
        state.cache[id(value)] = m.hold(ops.cast(m, value, dtype))
    return state.cache[id(value)]


def _widest(values: Sequence[Any]) -> str:
    """float32 when some tensor has it, else the type that all of them have."""
    types = {t.dtype for v in values for t in (v if isinstance(v, list | tuple) else [v]) if isinstance(t, Tensor)}
    floats = {dtype for dtype in types if dtype in ("float32", "float16", "bfloat16")}
    return "float32" if "float32" in floats or len(floats) != 1 else floats.pop()
