"""Quantization as a checkpoint states it: in config.json, or in ModelOpt's hf_quant_config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllmlint.models.packed_names import collapsed_experts

#: How writers of checkpoints call a common field (AutoAWQ's `w_bit`, ModelOpt's own words).
_NAMES = {"w_bit": "bits", "wbits": "bits", "q_group_size": "group_size", "quant_type": "quant_method"}


def quantization_fields(
    stated: Mapping[str, Any] | None, hf_quant_config: Mapping[str, Any] | None
) -> dict[str, Any]:
    """`quantization_config` and, from the separate file, `hf_quant_config`; empty where a checkpoint is not
    quantised. config.json wins where both speak: vLLM reads the file where the config has no block
    (`get_config` in vllm/transformers_utils/config.py)."""
    fields: dict[str, Any] = {}
    separate = _modelopt(hf_quant_config) if hf_quant_config else {}
    if separate:
        fields["hf_quant_config"] = separate
    if stated:
        fields["quantization_config"] = _common(stated)
    elif separate:
        kept = ("quant_algo", "kv_cache_quant_algo", "group_size", "exclude_modules", "quantized_layers")
        block = {key: separate[key] for key in kept if key in separate}
        fields["quantization_config"] = {"quant_method": "modelopt", **block}
    return fields


def _common(stated: Mapping[str, Any]) -> dict[str, Any]:
    """A block of config.json with its method in lower case and common names."""
    block = {_NAMES.get(key, key): value for key, value in stated.items()}
    block = {key: value for key, value in block.items() if value is not None}
    if isinstance(layers := block.get("quantized_layers"), Mapping):
        block["quantized_layers"] = collapsed_experts(layers)
    nested = block.pop("quantization", None)
    if isinstance(nested, Mapping):
        block = {**block, **nested}
    method = block.get("quant_method")
    if isinstance(method, str):
        block["quant_method"] = method.lower()
    elif _producer(block.get("producer")) == "modelopt":
        block["quant_method"] = "modelopt"
    elif block.get("load_in_4bit") is True or block.get("load_in_8bit") is True:
        block["quant_method"] = "bitsandbytes"
    return block


def _modelopt(file: Mapping[str, Any]) -> dict[str, Any]:
    """The content of hf_quant_config.json, its `quantization` part at the top."""
    inner = file.get("quantization")
    block = dict(inner) if isinstance(inner, Mapping) else {}
    if not block:
        return {}
    kept = {key: value for key, value in block.items() if value is not None}
    if producer := _producer(file.get("producer")):
        kept["producer"] = producer
    layers = kept.get("quantized_layers")
    if isinstance(layers, Mapping):
        counts: dict[str, int] = {}
        for layer in layers.values():
            name = str(layer.get("quant_algo")) if isinstance(layer, Mapping) else "None"
            counts[name] = counts.get(name, 0) + 1
        kept["quantized_layers_by_algo"] = counts
        kept["quantized_layers"] = collapsed_experts(layers)
    return kept


def _producer(stated: Any) -> str:
    name = stated.get("name") if isinstance(stated, Mapping) else stated
    return name if isinstance(name, str) else ""
