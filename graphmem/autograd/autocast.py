"""(device, ATen operator, arguments) -> the arguments as torch.autocast casts them, and the cache of weight casts.

An operator with a policy gets its tensors cast and runs, with all that it is made of, outside of autocast; one without
is passed through, and the operators that it is made of are looked up in their turn. Names have no overload: those that
the exporter writes for the insides of a composed operator (`_softmax`, `convolution`) stand for it.

Sources: aten/src/ATen/autocast_mode.h and .cpp of torch 2.13 (lists, cached_cast: only casts to the lower precision of
float32 leaves that need a gradient are kept, until the outermost context exits), cudnn/AutocastRNN.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from graphmem.autograd import ops
from graphmem.autograd.machine import Autocast, Machine
from graphmem.autograd.tensor import Tensor

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
    before, m.autocast = m.autocast, Autocast(dtype, m.autocast.cache if m.autocast else {})
    state = m.autocast
    try:
        yield
    finally:
        if before is None:
            for tensor in state.cache.values():
                m.release(tensor)
        m.autocast = before


def called(m: Machine, name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What the rule `function` makes of the operator `name` (as "aten.linear") inside the machine's autocast."""
    state, policy = m.autocast, POLICIES[m.device].get(name.partition(".")[2])
    if state is None or policy is None:
        return function(m, *args, **kwargs)
    dtype = {"lower precision": state.dtype, "float32": "float32"}.get(policy) or _widest([*args, *kwargs.values()])
    # C++ compilers evaluate the arguments of a call from the last to the first
    named = {key: _cast(m, state, kwargs[key], dtype) for key in reversed([*kwargs])}
    given = [_cast(m, state, value, dtype) for value in reversed(args)][::-1]
    m.autocast = None
    try:
        return function(m, *given, **named)
    finally:
        m.autocast = state


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
