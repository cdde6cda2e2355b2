"""Programs of a few calls, drawn or written, that parallel training is tried on."""

from __future__ import annotations

from hypothesis import strategies as st

from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Call, Given, Program, Ref
from graphmem.ir.types import TensorType

CUDA = TrainingOptions(loss="mse", optimizer="adamw", form="fused", device="cuda")
CPU = TrainingOptions(loss="mse", optimizer="adamw", form="single", device="cpu")


def residual(widths: list[int], inner: int, batch: int = 8, bias: bool = True) -> Program:
    """`x + down(relu(up(x)))` for each entry of widths, which is the inner width, then a head."""
    calls: list[Call] = []
    given = [Given("x", "input", TensorType("float32", (batch, inner)))]

    def parameter(name: str, *shape: int) -> Ref:
        given.append(Given(name, "parameter", TensorType("float32", shape)))
        return Ref(name)

    def call(target: str, out: str, width: int, *args: object) -> Ref:
        calls.append(Call(target, args, (out,), (TensorType("float32", (batch, width)),)))
        return Ref(out)

    x = Ref("x")
    for i, width in enumerate(widths):
        at = f"blocks.{i}"
        up = [parameter(f"{at}.up.weight", width, inner), *([parameter(f"{at}.up.bias", width)] if bias else [])]
        down = [parameter(f"{at}.down.weight", inner, width), *([parameter(f"{at}.down.bias", inner)] if bias else [])]
        h = call("aten.linear", f"up{i}", width, x, *up)
        h = call("aten.relu", f"relu{i}", width, h)
        h = call("aten.linear", f"down{i}", inner, h, *down)
        x = call("aten.add", f"add{i}", inner, x, h)
    call("aten.linear", "y", inner, x, parameter("head.weight", inner, inner))
    return Program(tuple(calls), tuple(given), ("y",), output_type=TensorType("float32", (batch, inner)))


@st.composite
def residuals(draw: st.DrawFn, multiple: int = 8, least: int = 1) -> Program:
    """Residual programs whose widths are multiples, so that no shard has to be padded."""
    widths = draw(st.lists(st.integers(1, 6).map(lambda n: n * multiple), min_size=least, max_size=4))
    return residual(widths, multiple * draw(st.integers(1, 4)), draw(st.sampled_from([1, 4, 32])), draw(st.booleans()))
