"""Parameters by module: counts of well-known models, and shapes that families differ in."""

from __future__ import annotations

from typing import Any

import pytest

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import find_architecture
from vllmlint.models.modules import Module, missing_sizes, modules_of, parameter_count

#: Totals as the checkpoints hold them.
GOLDEN = {
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "meta-llama/Llama-3.1-70B-Instruct": 70_553_706_496,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-32B": 32_762_123_264,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "mistralai/Mistral-7B-Instruct-v0.3": 7_248_023_552,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": 46_702_792_704,
    "google/gemma-2-9b-it": 9_241_705_984,
    "google/gemma-3-4b-it": 4_299_915_632,
    "openai/gpt-oss-20b": 20_914_757_184,
    "openai/gpt-oss-120b": 116_829_156_672,
    "microsoft/Phi-3-mini-4k-instruct": 3_821_079_552,
    "openai-community/gpt2": 124_439_808,
    "facebook/opt-125m": 125_239_296,
    "BAAI/bge-base-en-v1.5": 109_482_240,
    "BAAI/bge-m3": 567_754_752,
    "allenai/OLMo-2-1124-7B": 7_298_617_344,
    "deepseek-ai/DeepSeek-V3": 671_026_419_200,
    "nvidia/NVIDIA-Nemotron-Nano-9B-v2": 8_888_227_328,
    "Qwen/Qwen3.5-27B": 27_356_728_560,
}


def _architecture(model_id: str) -> ModelArchitecture:
    found = find_architecture(model_id)
    assert found is not None
    return found


def _module(model_id: str, name: str) -> Module:
    return next(module for module in modules_of(_architecture(model_id)) if module.name.endswith(name))


@pytest.mark.parametrize(("model_id", "expected"), GOLDEN.items(), ids=list(GOLDEN))
def test_counts_to_the_parameter(model_id: str, expected: int) -> None:
    count = parameter_count(_architecture(model_id))
    assert count is not None
    assert count.total == expected


def _published_billions() -> dict[str, float]:
    return {
        "deepseek-ai/DeepSeek-V2": 236,
        "deepseek-ai/DeepSeek-V4-Flash": 284,
        "moonshotai/Kimi-Linear-48B-A3B-Instruct": 49.1,
        "Qwen/Qwen3-Next-80B-A3B-Instruct": 80,
        "zai-org/GLM-5": 744,
        "zai-org/GLM-4.1V-9B-Thinking": 10.29,
        "tiiuae/falcon-40b-instruct": 41.3,
        "nvidia/Llama-3_3-Nemotron-Super-49B-v1": 49.9,
        "meta-llama/Llama-3.2-11B-Vision-Instruct": 10.67,
        "ibm-granite/granite-4.0-h-small": 32.2,
        "upstage/Solar-Open-100B": 102.6,
        "inclusionAI/Ling-3.0-flash": 124,
        "OpenGVLab/InternVL3_5-8B": 7.9,
        "meta-llama/Llama-4-Scout-17B-16E-Instruct": 108.64,
        "Qwen/Qwen2.5-VL-72B-Instruct": 73.41,
    }


@pytest.mark.parametrize(("model_id", "billions"), _published_billions().items())
def test_counts_of_families_with_rounded_figures(model_id: str, billions: float) -> None:
    count = parameter_count(_architecture(model_id))
    assert count is not None
    assert count.total / 1e9 == pytest.approx(billions, rel=0.005)


def test_equal_layers_are_one_module() -> None:
    module = _module("meta-llama/Llama-3.1-8B-Instruct", "mlp.down_proj")
    assert module.layers == tuple(range(32))
    assert (module.out_features, module.in_features, module.shard) == (4096, 14336, "in")


def test_kv_heads_are_the_units_of_keys() -> None:
    module = _module("meta-llama/Llama-3.1-8B-Instruct", "k_proj")
    assert (module.units, module.shard, module.out_features) == (8, "out", 1024)


def test_moe_layers_after_the_dense_ones() -> None:
    experts = _module("deepseek-ai/DeepSeek-V3", "experts.down_proj")
    assert experts.layers == tuple(range(3, 61))
    assert (experts.copies, experts.role, experts.quant_name) == (256, "experts", "layers.*.mlp.experts")


def test_absorbed_copies_are_no_parameters_of_the_checkpoint() -> None:
    module = _module("deepseek-ai/DeepSeek-V3", "absorbed")
    assert module.parameters == 0
    assert module.each == 128 * (128 + 128) * 512


def test_mtp_layers_are_counted_apart() -> None:
    count = parameter_count(_architecture("deepseek-ai/DeepSeek-V3"))
    assert count is not None
    assert count.mtp > 11e9


def test_tied_embeddings_count_once() -> None:
    names = [module.name for module in modules_of(_architecture("Qwen/Qwen3-0.6B"))]
    assert "lm_head" not in names
    assert _module("Qwen/Qwen3-0.6B", "embed_tokens").place == "tied"


def test_hybrid_layers_alternate() -> None:
    assert len(_module("Qwen/Qwen3-Next-80B-A3B-Instruct", "linear_attn.out_proj").layers) == 36
    assert _module("Qwen/Qwen3-Next-80B-A3B-Instruct", "self_attn.o_proj").layers[:2] == (3, 7)


def test_a_config_without_sizes_has_no_count() -> None:
    fields: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    architecture = ModelArchitecture("some/model", fields)
    assert parameter_count(architecture) is None
    assert "embed_tokens" in missing_sizes(architecture)


def test_an_unread_vision_tower_is_a_doubt() -> None:
    count = parameter_count(_architecture("mistralai/Mistral-Small-4-119B-2603"))
    assert count is not None
    assert count.doubts
