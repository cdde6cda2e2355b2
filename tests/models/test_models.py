"""The committed networks: readable without their weights, free of machine paths, dynamic, and the tiny ones run."""

from __future__ import annotations

import math
import re
import runpy
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import onnx
import pytest
from google.protobuf.message import Message

FILES = sorted((Path(__file__).parents[2] / "models").glob("*.onnx"))
TINY = [file for file in FILES if file.stem.startswith("tiny_")]
LARGE = [file for file in FILES if file not in TINY]

# The TorchScript exporter names nodes `/layer1/layer1.0/conv1/Conv`, so a slash alone is no path.
ROOTS = "home|mnt|opt|private|root|tmp|usr|Users|var|work"
MACHINE_PATH = re.compile(rf"""File "(?:/|[A-Z]:)|(?:^|[\s"'(=:])/(?:{ROOTS})/|(?:site|dist)-packages""")

PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "vgg16": 138_357_544,
    "mobilenetv2": 3_504_872,
    "unet": 31_037_698,
    "bert": 109_482_240,
    "gpt2": 124_439_808,
    "vit": 86_567_656,
    "llama": 1_235_814_400,
}


def each(files: list[Path]):
    return pytest.mark.parametrize("file", files, ids=lambda file: file.stem)


def load(file: Path) -> onnx.ModelProto:
    return onnx.load(file, load_external_data=False)


def reference(tensor: onnx.TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def strings(message: Message) -> Iterator[str]:
    for _, value in message.ListFields():
        for item in [value] if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__") else value:
            if isinstance(item, Message):
                yield from strings(item)
            elif isinstance(item, str):
                yield item


def free_dimensions(model: onnx.ModelProto) -> set[str]:
    return {d.dim_param for value in model.graph.input for d in value.type.tensor_type.shape.dim if d.dim_param}


def test_the_networks_promised_are_there():
    assert {file.stem for file in LARGE} == {*PARAMETERS, "resnet50_torchscript"}
    assert {file.stem for file in TINY} == {"tiny_cnn", "tiny_gpt", "tiny_lstm", "tiny_if"}


def test_all_of_them_are_a_small_download():
    assert sum(file.stat().st_size for file in FILES) < 6_000_000
    assert all(file.stat().st_size < 100_000 for file in TINY)


@each(FILES)
def test_no_path_of_the_machine_of_the_export_is_inside(file):
    assert [text for text in strings(load(file)) if MACHINE_PATH.search(text)] == []


def test_the_pattern_of_machine_paths_finds_some():
    assert MACHINE_PATH.search('File "/somewhere/else.py", line 1, in forward')
    assert MACHINE_PATH.search("see /home/me/model.py")
    assert not MACHINE_PATH.search('File "transformers/models/bert/modeling_bert.py", line 1\n    a = b / c')


@each(FILES)
def test_the_batch_is_free(file):
    sequences = {"bert", "gpt2", "llama", "tiny_gpt", "tiny_lstm"}
    assert free_dimensions(load(file)) == ({"batch", "sequence"} if file.stem in sequences else {"batch"})


@each(LARGE)
def test_weights_are_references_one_after_the_other_into_a_relative_file_that_is_absent(file):
    end = 0
    for tensor in load(file).graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            assert len(tensor.raw_data) <= 1024, tensor.name
            continue
        where = reference(tensor)
        location = PurePosixPath(where["location"])
        assert location.parts == (f"{file.stem}.onnx.data",)
        assert not (file.parent / location).exists()
        itemsize = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        assert int(where["offset"]) == end
        assert int(where["length"]) == math.prod(tensor.dims) * itemsize
        end += int(where["length"])
    assert end > 0


@each([file for file in LARGE if file.stem in PARAMETERS])
def test_the_parameters_of_the_architecture_are_there(file):
    model = load(file)
    signature = {entry.key: entry.value for entry in model.graph.metadata_props}
    buffers = set(re.findall(r"BUFFER target='([^']+)'", signature["pkg.torch.export.ExportedProgram.graph_signature"]))
    floats = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT and t.dims]
    assert sum(math.prod(t.dims) for t in floats if t.name not in buffers) == PARAMETERS[file.stem]


@each([file for file in LARGE if file.stem not in {"resnet50_torchscript"}])
def test_each_node_tells_its_module_and_source_line(file):
    needed = {"namespace", "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.stack_trace"}
    silent = {node.op_type for node in load(file).graph.node if not needed <= {e.key for e in node.metadata_props}}
    assert silent == ({"Split"} if file.stem == "gpt2" else set())  # the optimizer makes them of SplitToSequence


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenetv2", "unet", "tiny_cnn"])
def test_batch_norms_are_kept_for_the_prediction_of_training(name):
    (file,) = (file for file in FILES if file.stem == name)
    operators = [node.op_type for node in load(file).graph.node]
    convolutions_without = {"unet": 1}  # the last one
    assert operators.count("BatchNormalization") == operators.count("Conv") - convolutions_without.get(name, 0)


@each(TINY)
def test_tiny_networks_run_and_give_finite_outputs(file):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    sizes = {"batch": 3, "sequence": 5}
    inputs = {}
    for value in session.get_inputs():
        shape = [sizes.get(d, d) for d in value.shape]
        dtype = {"tensor(float)": np.float32, "tensor(int64)": np.int64}[value.type]
        inputs[value.name] = np.random.default_rng(0).integers(0, 8, shape).astype(dtype)
    for output in session.run(None, inputs):
        assert output.shape[0] == 3
        assert np.isfinite(output).all()


def test_the_table_in_the_readme_is_what_graphmem_prints_today() -> None:
    readme = FILES[0].parent / "README.md"
    rewritten = runpy.run_path(str(FILES[0].parent / "table.py"))["rewritten"]
    assert rewritten(readme.read_text()) == readme.read_text(), "run `python models/table.py`"
