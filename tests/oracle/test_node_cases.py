"""Every node test of ONNX: what is inferred against what its run recorded; never wrong, and few left open."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest

from graphmem.ir.errors import ModelError
from graphmem.reader import graph_of
from graphmem.reader.load import inlined
from tests.oracle.node_cases import Case, Verdict, baked, node_cases, recorded, verdict

# Left open, and why (docs/node-tests.md): family of cases -> number of them.
OPEN_FAMILIES = {
    "image_decoder": 9,  # the shape is in the compressed picture
    "nonmaxsuppression": 10,  # the scores decide; bounded
    "unique": 6,  # the data decide; bounded
    # inputs that are sequences, of which no initializer and no type states the length
    "identity_opt": 1,
    "identity_sequence": 1,
    "loop13_seq": 1,
    "loop16_seq_none": 1,
    "optional_get_element": 2,
    "sequence_insert": 2,
    "sequence_map": 12,
}


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(node_cases())


def judged(case: Case, integers: bool) -> Verdict:
    graph = graph_of(inlined(baked(case, integers)), Path("/nonexistent"))
    verdicts = [
        verdict(graph.tensors[info.name].type, recorded(value, info.type))
        for info, value in zip(case.model.graph.output, case.outputs, strict=True)
    ]
    return next((v for v in ("wrong", "incomplete") if v in verdicts), "right")


@pytest.mark.parametrize("integers", [False, True], ids=["data free", "integers baked"])
def test_no_node_case_is_wrong_and_every_open_one_belongs_to_a_family_with_a_reason(
    cases: list[Case], integers: bool, pytestconfig: pytest.Config
) -> None:
    if not integers and not pytestconfig.getoption("--all-networks"):
        pytest.skip("the harder question is asked by default, this one with --all-networks")
    open_cases = []
    counts: Counter[tuple[str, str]] = Counter()
    for case in cases:
        found = judged(case, integers)
        counts["expanded" if case.is_expanded else "single", found] += 1
        assert found != "wrong", case.name
        if found == "incomplete":
            open_cases.append(case.name)
    if not integers:
        assert counts["single", "right"] >= 1353
        assert counts["expanded", "right"] >= 474
        return
    families = Counter(next((f for f in OPEN_FAMILIES if name.startswith(f"test_{f}")), name) for name in open_cases)
    assert families == {family: n for family, n in OPEN_FAMILIES.items() if n}
    assert counts["single", "right"] >= 1360
    assert counts["expanded", "right"] >= 468


DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
MODELS = sorted(
    p for kind in ("simple", "pytorch-operator", "pytorch-converted") for p in (DATA / kind).glob("*/*.onnx")
)

# The target shape, or the strings, are inputs of these models.
DECIDED_BY_INPUTS = ("test_expand_shape_model", "test_strnorm_model_monday")


def stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the types that it states of its outputs and of what lies between."""
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.ClearField("type")
    return model


@pytest.mark.skipif(not MODELS, reason="this onnx wheel ships no model tests")
@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.parent.name)
def test_the_models_of_onnx_are_read_right(path: Path) -> None:
    declared = onnx.load(path)
    graph = graph_of(inlined(stripped(onnx.load(path))), path.parent)
    for info, data in zip(
        declared.graph.output, sorted((path.parent / "test_data_set_0").glob("output_*.pb")), strict=True
    ):
        found = graph.tensors[info.name].type
        if not info.type.HasField("tensor_type"):
            continue
        tensor = onnx.TensorProto.FromString(data.read_bytes())
        allowed = "incomplete" if path.parent.name.startswith(DECIDED_BY_INPUTS) else "right"
        assert verdict(found, recorded(tensor, info.type)) == allowed, found


def test_a_model_error_is_no_answer_to_a_node_case(cases: list[Case]) -> None:
    """The oracle itself notices a reader that refuses: a case with its first input's rank broken is an error."""
    case = next(case for case in cases if case.name == "test_matmul_2d")
    model = baked(case)
    del model.graph.input[0].type.tensor_type.shape.dim[1]
    with pytest.raises(ModelError):
        graph_of(model, Path("/nonexistent"))
