"""Exports the networks of this folder to ONNX, weights left out: `python models/export.py [NAME...]`.

Needs the extra (`pip install 'graphmem[export]'`: torch, onnxscript, transformers) but no network: the architectures
are built from their configurations, nothing is downloaded. With the same versions of those packages each run writes the
same bytes. Each file is checked before it is written: number of parameters, names of the free dimensions, structure,
and for the tiny ones, which carry their weights, the outputs of ONNX Runtime against those of torch.
"""

from __future__ import annotations

import argparse
import io
import logging
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # transformers reads it on import

import numpy as np
import onnx

try:
    import architectures as arch
    import onnx_ir as ir
    import torch
    from torch import Tensor, nn
except ModuleNotFoundError as missing:
    raise SystemExit(f"{missing}; the export needs more than graphmem itself: pip install 'graphmem[export]'") from None

HERE = Path(__file__).resolve().parent
INLINE_NBYTES = 1024  # integers up to this size stay in the file
Axes = tuple[str | int, ...]


@dataclass(frozen=True)
class Input:
    """An input of a network: axes are sizes or the names of free dimensions."""

    name: str
    axes: Axes
    integers_below: int | None = None  # None: normally distributed floats

    def example(self, sizes: dict[str, int]) -> Tensor:
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in self.axes]
        generator = torch.Generator().manual_seed(0)
        if self.integers_below is None:
            return torch.randn(shape, generator=generator)
        return torch.randint(0, self.integers_below, shape, generator=generator)


@dataclass(frozen=True)
class Network:
    """What is exported and how; `form` is one of the functions below."""

    name: str
    build: Callable[[], nn.Module]
    parameters: int
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    form: Callable[[Network, nn.Module], onnx.ModelProto]
    opset: int = 20
    complete: bool = False  # the weights are in the file

    @property
    def dimensions(self) -> list[str]:
        """The names of the free dimensions, in order of appearance."""
        return list(dict.fromkeys(axis for i in self.inputs for axis in i.axes if isinstance(axis, str)))

    def examples(self, sizes: dict[str, int] | None = None) -> dict[str, Tensor]:
        return {i.name: i.example(sizes or {"batch": 2, "sequence": 16}) for i in self.inputs}


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Parameters are registered without storage, so that initializing them costs nothing; buffers are real."""
    register = nn.Module.register_parameter

    def register_on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        is_tied = parameter is None or parameter.is_meta
        register(module, name, parameter if is_tied else nn.Parameter(parameter.to("meta")))

    nn.Module.register_parameter = register_on_meta
    try:
        yield
    finally:
        nn.Module.register_parameter = register


def give_storage(model: nn.Module) -> None:
    """Gives each parameter zeros, which the system maps only when touched, but for some first elements.

    Those are random because the optimizer looks at values: it would drop a bias of zeros and merge equal tensors, as it
    would not in a trained network. Tied parameters stay tied.
    """
    generator = torch.Generator().manual_seed(0)
    stored: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in stored:
                values = torch.from_numpy(np.zeros(parameter.shape, np.float32))  # torch.zeros would touch it all
                values.view(-1)[:1024].normal_(generator=generator)
                stored[id(parameter)] = nn.Parameter(values)
            module._parameters[name] = stored[id(parameter)]


def network_with_values(network: Network) -> nn.Module:
    """Initialized as usual from a seed, then moved a little, so that no two norms or biases are equal (see above)."""
    torch.manual_seed(0)
    model = network.build().eval()
    with torch.no_grad():
        for _, tensor in weights(model):
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand_like(tensor))
    return model


def built(network: Network) -> nn.Module:
    if network.complete:
        return network_with_values(network)
    with parameters_on_meta():
        model = network.build().eval()
    give_storage(model)
    return model


def exported_by_dynamo(network: Network, model: nn.Module, *, optimize: bool) -> torch.onnx.ONNXProgram:
    free = {name: torch.export.Dim(name, min=1, max=1 << 20) for name in network.dimensions}
    return torch.onnx.export(
        model,
        kwargs=network.examples(),
        dynamic_shapes={
            i.name: {n: free[axis] for n, axis in enumerate(i.axes) if axis in free} for i in network.inputs
        },
        input_names=[i.name for i in network.inputs],
        output_names=list(network.outputs),
        opset_version=network.opset,
        dynamo=True,
        optimize=optimize,
        verbose=False,
    )


def dynamo(network: Network, model: nn.Module) -> onnx.ModelProto:
    """The exporter's default form."""
    program = exported_by_dynamo(network, model, optimize=True)
    return serialized(network, model, program.model)


def dynamo_with_batch_norm(network: Network, model: nn.Module) -> onnx.ModelProto:
    """The exporter's default form, but batch norms are not folded into convolutions.

    The optimizer folds those whose values it knows, so it does not get to know them.
    """
    program = exported_by_dynamo(network, model, optimize=False)
    hidden = {}
    for name, value in program.model.graph.initializers.items():
        hidden[name], value.const_value = value.const_value, None
    program.optimize()
    for name, value in program.model.graph.initializers.items():
        value.const_value = value.const_value or hidden[name]
    return serialized(network, model, program.model)


def torchscript(network: Network, model: nn.Module) -> onnx.ModelProto:
    """The form of the older exporter: no metadata, scopes in the names of nodes, batch norms folded."""
    file = io.BytesIO()
    torch.onnx.export(
        model,
        tuple(network.examples().values()),
        file,
        input_names=[i.name for i in network.inputs],
        output_names=list(network.outputs),
        dynamic_axes={
            i.name: {n: axis for n, axis in enumerate(i.axes) if isinstance(axis, str)} for i in network.inputs
        },
        opset_version=network.opset,
        dynamo=False,
    )
    return serialized(network, model, ir.from_proto(onnx.load_from_string(file.getvalue())))


def serialized(network: Network, model: nn.Module, exported: ir.Model) -> onnx.ModelProto:
    """Returns the proto with weights outside, without value_info and without paths of this machine."""
    if not network.complete:
        leave_weights_out(exported, f"{network.name}.onnx.data", {name for name, _ in weights(model)})
    proto = ir.to_proto(exported)
    for graph in graphs(proto.graph):
        del graph.value_info[:]
        for entry in (entry for node in graph.node for entry in node.metadata_props):
            if entry.key == "pkg.torch.onnx.stack_trace":
                entry.value = without_machine_paths(entry.value)
    return proto


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and the branches and bodies in it."""
    yield graph
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield from graphs(attribute.g)


def weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def leave_weights_out(exported: ir.Model, location: str, names: set[str]) -> None:
    """Replaces weights by references into a file that is never written; shapes, axes and scalars stay."""
    offset = 0
    for name, value in exported.graph.initializers.items():
        tensor = value.const_value
        is_folded_weight = tensor.dtype.is_floating_point() and tensor.size > 1
        if name not in names and not is_folded_weight and tensor.nbytes <= INLINE_NBYTES:
            continue
        value.const_value = ir.ExternalTensor(
            location, offset, tensor.nbytes, tensor.dtype, shape=ir.Shape(tensor.shape), name=name
        )
        offset += tensor.nbytes


def without_machine_paths(trace: str) -> str:
    """Returns the stack trace with files named from their package on: `transformers/models/bert/modeling_bert.py`.

    Code that torch generates is numbered by what the process compiled before: the number goes too.
    """
    trace = re.sub(r'File "[^"]*/site-packages/', 'File "', trace)
    trace = re.sub(r'File "[^"]*/(models/architectures\.py)"', r'File "\1"', trace)
    return re.sub(r"<eval_with_key>\.\d+", "<eval_with_key>", trace)


def check(network: Network, model: nn.Module, proto: onnx.ModelProto) -> None:
    in_torch = sum(parameter.numel() for parameter in model.parameters())
    assert in_torch == network.parameters, f"{network.name}: torch has {in_torch:,} parameters"
    if network.form is not torchscript:  # which merges the four tensors of a batch norm into the convolution's two
        in_file = parameters_in_file(proto, {name for name, _ in model.named_buffers()})
        assert in_file == network.parameters, f"{network.name}: the file has {in_file:,} parameters"
    for i, value in zip(network.inputs, proto.graph.input, strict=True):
        axes = tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim)
        assert (value.name, axes) == (i.name, i.axes), f"{network.name}: the file has input {value.name} {axes}"
    onnx.checker.check_model(with_weights_as_inputs(proto), full_check=True)
    if network.complete:
        check_outputs(network, model, proto)


def parameters_in_file(proto: onnx.ModelProto, buffers: set[str]) -> int:
    tensors = [t for t in proto.graph.initializer if t.data_type == onnx.TensorProto.FLOAT and t.name not in buffers]
    return sum(math.prod(t.dims) for t in tensors if t.dims)


def with_weights_as_inputs(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy that onnx.checker accepts though the file of weights does not exist."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    del copy.graph.initializer[:]
    for tensor in proto.graph.initializer:
        if tensor.external_data:
            copy.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        else:
            copy.graph.initializer.append(tensor)
    return copy


def check_outputs(network: Network, model: nn.Module, proto: onnx.ModelProto) -> None:
    """At sizes other than those of the export."""
    import onnxruntime

    inputs = network.examples({"batch": 3, "sequence": 7})
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    with torch.no_grad():
        expected = model(**inputs)
    np.testing.assert_allclose(found[0], expected.numpy(), atol=1e-5, rtol=1e-5, err_msg=network.name)


def bert() -> nn.Module:
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig())


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(use_cache=False))


def vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(ViTConfig(num_labels=1000))


def llama() -> nn.Module:
    """Of the shape of Llama 3.2 1B."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        max_position_embeddings=131072,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        use_cache=False,
    )
    return LlamaForCausalLM(config)


def resnet50() -> nn.Module:
    return arch.ResNet(arch.Bottleneck, (3, 4, 6, 3))


def image(size: int) -> tuple[Input]:
    return (Input("x", ("batch", 3, size, size)),)


def tokens(vocabulary: int, *masks: str) -> tuple[Input, ...]:
    axes = ("batch", "sequence")
    return (Input("input_ids", axes, vocabulary), *(Input(mask, axes, 2) for mask in masks))


NETWORKS = (
    Network(
        *("resnet18", lambda: arch.ResNet(arch.BasicBlock, (2, 2, 2, 2)), 11_689_512),
        *(image(224), ("logits",), dynamo_with_batch_norm),
    ),
    Network("resnet50", resnet50, 25_557_032, image(224), ("logits",), dynamo_with_batch_norm),
    Network("resnet50_torchscript", resnet50, 25_557_032, image(224), ("logits",), torchscript, opset=17),
    Network("vgg16", arch.VGG16, 138_357_544, image(224), ("logits",), dynamo_with_batch_norm),
    Network("mobilenetv2", arch.MobileNetV2, 3_504_872, image(224), ("logits",), dynamo_with_batch_norm),
    Network("unet", arch.UNet, 31_037_698, image(512), ("mask",), dynamo_with_batch_norm),
    Network(
        *("bert", bert, 109_482_240, tokens(30522, "attention_mask", "token_type_ids")),
        *(("last_hidden_state", "pooler_output"), dynamo),
    ),
    Network("gpt2", gpt2, 124_439_808, tokens(50257, "attention_mask"), ("logits",), dynamo),
    Network("vit", vit, 86_567_656, (Input("pixel_values", ("batch", 3, 224, 224)),), ("logits",), dynamo),
    Network("llama", llama, 1_235_814_400, tokens(128256, "attention_mask"), ("logits",), dynamo),
    Network("tiny_cnn", arch.TinyCNN, 5_306, image(32), ("logits",), dynamo_with_batch_norm, complete=True),
    Network("tiny_gpt", arch.TinyGPT, 9_152, tokens(64), ("logits",), dynamo, opset=23, complete=True),
    Network(
        *("tiny_lstm", arch.TinyLSTM, 8_309, (Input("x", ("batch", "sequence", 16)),), ("logits",), dynamo),
        complete=True,
    ),
    Network("tiny_if", arch.TinyIf, 1_744, (Input("x", ("batch", 16)),), ("y",), dynamo, complete=True),
)


def export(network: Network) -> None:
    model = built(network)
    proto = network.form(network, model)
    check(network, model, proto)
    data = proto.SerializeToString(deterministic=True)
    (HERE / f"{network.name}.onnx").write_bytes(data)
    nodes = len(proto.graph.node)
    print(f"{network.name:21}{nodes:6,} nodes {network.parameters:14,} parameters {len(data):10,} bytes")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [network.name for network in NETWORKS]
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(names)}; all of them if none is given"
    )
    chosen = parser.parse_args(arguments).names
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"no network {', '.join(unknown)}; there are {', '.join(names)}")
    logging.disable(logging.WARNING)  # the exporter's remarks on torchvision and on values we hide from it
    warnings.simplefilter("ignore")
    for network in NETWORKS:
        if not chosen or network.name in chosen:
            export(network)


if __name__ == "__main__":
    main()
