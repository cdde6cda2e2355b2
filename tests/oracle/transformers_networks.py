"""Models of Hugging Face transformers, made small, that training is measured on.

TRANSFORMERS: name -> (module, example inputs, target, loss). Weights are random; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Case = tuple[nn.Module, tuple[Tensor, ...], Tensor, str]

_TEXT = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 64, "max_position_embeddings": 64}  # fmt: skip
_GPT = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 64}  # fmt: skip
_GROUPED = {**_GPT, "num_key_value_heads": 2, "head_dim": 8}


class Logits(nn.Module):
    """A model that returns its logits alone."""

    def __init__(self, inner: nn.Module, call: dict[str, Any]) -> None:
        super().__init__()
        self.m = inner
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        out = self.m(x, **self.call)
        return out.logits if hasattr(out, "logits") else out.last_hidden_state


def _made(name: str, head: str, config: dict[str, Any], **call: Any) -> nn.Module:
    import transformers

    settings = getattr(transformers, f"{name}Config")(**config)
    return Logits(getattr(transformers, head)(settings), call)


def _classify(name: str, head: str, config: dict[str, Any]) -> Case:
    module = _made(name, head, {**config, "num_labels": 5})
    return module, (torch.randint(0, 300, (4, 24)),), torch.randint(0, 5, (4,)), "cross_entropy"


def _generate(name: str, head: str, config: dict[str, Any]) -> Case:
    module = _made(name, head, config, use_cache=False)
    return module, (torch.randint(0, 300, (4, 24)),), torch.randint(0, 300, (4, 24)), "cross_entropy"


def _image(name: str, head: str, config: dict[str, Any], size: int = 64) -> Case:
    module = _made(name, head, {**config, "num_labels": 5})
    return module, (torch.randn(2, 3, size, size),), torch.randint(0, 5, (2,)), "cross_entropy"


def _hidden(name: str, head: str, config: dict[str, Any]) -> Case:
    module = _made(name, head, config)
    out = module(torch.randint(0, 300, (4, 24)))
    return module, (torch.randint(0, 300, (4, 24)),), torch.randn(out.shape), "mse"


TRANSFORMERS: dict[str, Callable[[], Case]] = {
    "albert": lambda: _classify("Albert", "AlbertForSequenceClassification", {**_TEXT, "embedding_size": 16}),
    "electra": lambda: _classify("Electra", "ElectraForSequenceClassification", {**_TEXT, "embedding_size": 16}),
    "roberta": lambda: _classify("Roberta", "RobertaForSequenceClassification", _TEXT),
    "deberta": lambda: _classify("DebertaV2", "DebertaV2ForSequenceClassification", {
        **_TEXT, "relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]}),
    "opt": lambda: _generate("OPT", "OPTForCausalLM", {
        "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64,
        "word_embed_proj_dim": 32, "max_position_embeddings": 64}),
    "gpt_neox": lambda: _generate("GPTNeoX", "GPTNeoXForCausalLM", _GPT),
    "bloom": lambda: _generate("Bloom", "BloomForCausalLM", {
        "vocab_size": 300, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "gemma": lambda: _generate("Gemma", "GemmaForCausalLM", _GROUPED),
    "mistral": lambda: _generate("Mistral", "MistralForCausalLM", _GROUPED),
    "qwen2": lambda: _generate("Qwen2", "Qwen2ForCausalLM", _GROUPED),
    "phi": lambda: _generate("Phi", "PhiForCausalLM", _GPT),
    "clip_text": lambda: _hidden("CLIPText", "CLIPTextModel", _TEXT),
    "t5_encoder": lambda: _hidden("T5", "T5EncoderModel", {
        "vocab_size": 300, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}),
    "dinov2": lambda: _image("Dinov2", "Dinov2ForImageClassification", {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64, "patch_size": 16}),
    "regnet": lambda: _image("RegNet", "RegNetForImageClassification", {
        "embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "groups_width": 8}),
    "swin": lambda: _image("Swin", "SwinForImageClassification", {
        "image_size": 64, "patch_size": 4, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}),
    "mobilevit": lambda: _image("MobileViT", "MobileViTForImageClassification", {
        "image_size": 64, "hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 24, 32, 64]}),
    "poolformer": lambda: _image("PoolFormer", "PoolFormerForImageClassification", {
        "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}),
    "pvt": lambda: _image("Pvt", "PvtForImageClassification", {
        "image_size": 64, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 1, 1, 1]}),
    "levit": lambda: _image("Levit", "LevitForImageClassification", {
        "image_size": 64, "hidden_sizes": [32, 48, 64], "num_attention_heads": [2, 3, 4], "depths": [1, 1, 1],
        "key_dim": [8, 8, 8]}),
    "beit": lambda: _image("Beit", "BeitForImageClassification", {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
        "image_size": 64, "patch_size": 16}),
    "mobilenet_v2": lambda: _image("MobileNetV2", "MobileNetV2ForImageClassification", {
        "image_size": 64, "depth_multiplier": 0.25}),
    "resnet_hf": lambda: _image("ResNet", "ResNetForImageClassification", {
        "embedding_size": 8, "hidden_sizes": [16, 32], "depths": [1, 2]}),
    "bit": lambda: _image("Bit", "BitForImageClassification", {
        "embedding_size": 8, "hidden_sizes": [16, 32, 64, 64], "depths": [1, 1, 1, 1], "num_groups": 4}),
}  # fmt: skip
