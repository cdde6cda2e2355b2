"""A fixed slice of the fuzz run (`python -m tests.fuzz`): damaged files are read or refused in one line."""

from __future__ import annotations

from pathlib import Path

import onnx.parser
import pytest

from tests.fuzz.__main__ import outcome
from tests.fuzz.mutations import mutated

TEXTS = (
    """g (float[N, 3, 8, 8] x) => (float[N, 4] y) <float[4, 3, 3, 3] w, int64[2] s = {0, -1}, float[144, 4] v> {
      a = Conv <pads = [0, 0, 0, 0]> (x, w)  b = Relu (a)  c = Reshape (b, s)  y = MatMul (c, v) }""",
    """g (float[4] x, bool c) => (float[4] y) {
      z = If (c) <then_branch = t () => (float[4] p) { p = Exp (x) },
                  else_branch = e () => (float[4] r) { r = Sin (x) }>
      y = LayerNormalization <axis = 0> (z, x) }""",
    """g (float[2] x) => (float[N] y) <int64 m = {3}, bool on = {1}> {
      y = Loop (m, on, x) <body = b (int64 i, bool c, float[N] v) => (bool c, float[M] w) {
        w = Concat <axis = 0> (v, v) }> }""",
    """g (int64[2, 3] x) => (int64[K] y, seq(int64[1, 3]) s) {
      n = NonZero (x)  q = Shape (n)  y = Range (q, q, q)  s = SplitToSequence <axis = 0> (x) }""",
)


@pytest.fixture(scope="module")
def seeds() -> list[bytes]:
    models = [onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>{text}') for text in TEXTS]
    for tensor in models[0].graph.initializer:
        if not tensor.raw_data and not tensor.int64_data:
            tensor.raw_data = bytes(4 * int(onnx.numpy_helper.np.prod(tensor.dims)))
    tiny = Path(__file__).parents[2] / "models" / "tiny_if.onnx"
    return [*(model.SerializeToString() for model in models), tiny.read_bytes()]


@pytest.mark.parametrize("block", range(4))
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_refused(seeds: list[bytes], block: int, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    for number in range(block * 300, block * 300 + 300):
        path.write_bytes(mutated(seeds, number))
        assert outcome(path) in ("refused", "exact", "at most", "at least"), number
