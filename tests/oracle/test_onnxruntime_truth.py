"""The onnxruntime memory model, end to end, against what onnxruntime allocated on 86 networks (see truth.json).

By default a sample; `--all-networks` runs them all (about two minutes).
"""

from __future__ import annotations

import json
from typing import Any

import onnx
import pytest

from graphmem.ir.runtime import SessionOptions
from graphmem.ort.figures import predicted
from graphmem.ort.graph import Source, runtime_graph
from graphmem.reader import read
from tests.oracle import networks

# One for each kind of rule: NCHWc convolutions, aliases, symbols bound, LSTM, Where, unread outputs.
SAMPLE = (
    "bert_legacy_dyn",
    "light_squeezenet",
    "lstm_legacy_static",
    "mamba_legacy_static",
    "vit_legacy_static",
)
DATA_DEPENDENT = ("mixtral_eager_legacy_dyn", "mixtral_eager_legacy_static")  # an upper bound is all there is


def _peaks() -> dict[str, dict[str, int]]:
    path = networks.SHARED / "inference" / "truth.json"
    found: dict[str, dict[str, int]] = json.loads(path.read_text())["peaks"] if path.exists() else {}
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "network" in metafunc.fixturenames:
        every = sorted(_peaks()) if metafunc.config.getoption("--all-networks") else SAMPLE
        metafunc.parametrize("network", every)


def test_peaks_are_those_of_the_run(network: str) -> None:
    truth: dict[str, Any] = _peaks().get(network, {})
    if not truth:
        pytest.skip(f"{networks.SHARED} is not there: the measured networks are not part of the repository")
    path = networks.path_of(network)
    dims = networks.dims_of(network, onnx.load(path, load_external_data=False))
    runtime = runtime_graph(Source.of(path, read(path, dims)), SessionOptions())
    assert not [issue for issue in runtime.issues if issue.kind == "unknown-workspace"]
    memory = predicted(runtime, SessionOptions()).memory
    without = predicted(runtime, SessionOptions(reuse=False)).memory
    found = {
        "tensor_peak": memory.first_run_peak,
        "pattern_run2_peak": memory.pattern_peak,
        "arena_held": memory.arena,
        "tensor_peak_without_reuse": without.first_run_peak,
    }
    expected = {key: truth[key] for key in found if key in truth}
    found = {key: found[key] for key in expected}
    if network in DATA_DEPENDENT:
        assert all((found[key] or 0) >= expected[key] for key in expected)
    else:
        assert found == expected
