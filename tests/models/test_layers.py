"""What the layers of each family keep in the cache."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import catalogue_ids, find_architecture
from vllmlint.models.layers import CacheLayer, UnknownLayers, cache_layers


def layers_of(model_id: str) -> tuple[CacheLayer, ...]:
    """The caches of a model of the catalogue."""
    architecture = find_architecture(model_id)
    assert architecture is not None
    layers = cache_layers(architecture)
    assert not isinstance(layers, UnknownLayers), layers
    return layers


#: Model, how many caches of each kind (and window).
KINDS: list[tuple[str, dict[tuple[str, int | None], int]]] = [
    ("meta-llama/Llama-3.1-8B", {("full", None): 32}),
    ("google/gemma-2-9b-it", {("full", None): 21, ("sliding", 4096): 21}),
    ("google/gemma-3-27b-it", {("full", None): 10, ("sliding", 1024): 52}),
    ("google/gemma-3n-E4B-it", {("full", None): 4, ("sliding", 512): 16}),
    ("google/gemma-4-26B-A4B", {("full", None): 5, ("sliding", 1024): 25}),
    ("openai/gpt-oss-120b", {("full", None): 18, ("sliding", 128): 18}),
    ("mistralai/Mistral-7B-v0.1", {("sliding", 4096): 32}),
    ("meta-llama/Llama-4-Scout-17B-16E-Instruct", {("full", None): 12, ("chunked", 8192): 36}),
    ("deepseek-ai/DeepSeek-V3", {("mla", None): 61}),
    ("deepseek-ai/DeepSeek-V3.2", {("mla", None): 61, ("indexer", None): 61}),
    ("Qwen/Qwen3-Next-80B-A3B-Instruct", {("full", None): 12, ("state", None): 36}),
    ("moonshotai/Kimi-Linear-48B-A3B-Instruct", {("mla", None): 7, ("state", None): 20}),
    ("nvidia/NVIDIA-Nemotron-Nano-9B-v2", {("full", None): 4, ("state", None): 27}),
    ("ibm-granite/granite-4.0-h-micro", {("full", None): 4, ("state", None): 36}),
    ("XiaomiMiMo/MiMo-V2-Flash", {("full", None): 9, ("sliding", 128): 39}),
    ("nvidia/Llama-3_3-Nemotron-Super-49B-v1", {("full", None): 49}),
    ("BAAI/bge-m3", {}),
]


@pytest.mark.parametrize(("model_id", "kinds"), KINDS)
def test_kinds(model_id: str, kinds: dict[tuple[str, int | None], int]) -> None:
    """Counts by kind and window."""
    assert Counter((layer.kind, layer.window) for layer in layers_of(model_id)) == kinds


def test_deepseek_v4() -> None:
    """43 windows, 21 + 20 compressed caches, an indexer where four tokens make one (vllm-memory.md 3.6)."""
    kinds = Counter(layer.kind for layer in layers_of("deepseek-ai/DeepSeek-V4-Flash"))
    assert kinds == {"v4_window": 43, "v4_latent": 41, "v4_indexer": 21, "v4_state": 62}


def test_gemma_4_full_layers_have_heads_of_their_own() -> None:
    """Two heads of 512 beside eight of 256."""
    shapes = {
        (layer.kind, layer.num_kv_heads, layer.head_size) for layer in layers_of("google/gemma-4-26B-A4B")
    }
    assert shapes == {("full", 2, 512), ("sliding", 8, 256)}


def test_values_may_be_narrower_than_keys() -> None:
    """MiMo-V2: keys of 192, values of 128; twice the heads where it slides."""
    shapes = {
        (layer.kind, layer.num_kv_heads, layer.head_size, layer.head_size_v)
        for layer in layers_of("XiaomiMiMo/MiMo-V2-Flash")
    }
    assert shapes == {("full", 4, 192, 128), ("sliding", 8, 192, 128)}


def test_cohere_counts_its_own_token_in_the_window() -> None:
    """The window as 0.29 and later read it."""
    architecture = find_architecture("CohereLabs/c4ai-command-r7b-12-2024")
    assert architecture is not None
    layers = cache_layers(architecture, window_is_inclusive=True)
    assert not isinstance(layers, UnknownLayers)
    assert {layer.window for layer in layers} == {None, 4097}


def config(**fields: Any) -> ModelArchitecture:
    """A config.json with a class that needs nothing else."""
    base = {"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 4, "num_attention_heads": 8}
    return ModelArchitecture("test/model", {**base, "hidden_size": 512, **fields})


def test_unknown_where_the_config_is_silent() -> None:
    """No layers, no widths, no cache: cannot tell, with the reason."""
    for architecture in (
        ModelArchitecture("test/empty", {"architectures": ["LlamaForCausalLM"]}),
        config(hidden_size=None),
        config(kv_lora_rank=512),
        config(layer_types=["linear_attention"] * 4),
        config(architectures=["DeepseekV41ForCausalLM"]),
    ):
        answer = cache_layers(architecture)
        assert isinstance(answer, UnknownLayers)
        assert answer.reason


def test_a_window_that_is_switched_off() -> None:
    """Qwen2 names a window and does not use it."""
    layers = cache_layers(config(sliding_window=1024, use_sliding_window=False))
    assert not isinstance(layers, UnknownLayers)
    assert {layer.kind for layer in layers} == {"full"}


def test_every_model_of_the_catalogue_is_told_or_says_why() -> None:
    """No model makes the reading fail; most of them are known."""
    told = 0
    for model_id in catalogue_ids():
        architecture = find_architecture(model_id)
        assert architecture is not None
        answer = cache_layers(architecture)
        told += not isinstance(answer, UnknownLayers)
    assert told / len(catalogue_ids()) > 0.97
