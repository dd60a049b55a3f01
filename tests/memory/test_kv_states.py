"""Hybrid models: blocks that hold a state (vllm-memory.md 3.5), packed caches, drafters and the V0 engine."""

from __future__ import annotations

from typing import Any

import pytest
from kv_samples import GIB, GPUS, dense, engine, model

from vllmlint.engine.config import EngineConfig, Refusal
from vllmlint.memory.kv_packed import least_padding
from vllmlint.memory.kv_plan import KvPlan, KvRefusal, plan_kv
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.layers import UnknownLayers

NEXT = "Qwen/Qwen3-Next-80B-A3B-Instruct"


def planned(config: EngineConfig, available_bytes: int = 60 * GIB) -> KvPlan:
    """The plan of a configuration that starts."""
    answer = plan_kv(config, available_bytes)
    assert isinstance(answer, KvPlan), answer
    return answer


#: Release, options, attention block in tokens: vllm-memory.md 3.5 on Qwen3-Next, TP1, bf16, H100.
BLOCKS: list[tuple[str, dict[str, Any], int]] = [
    ("0.33.0", {"mamba_cache_mode": "align"}, 576),
    ("0.33.0", {"prefix_caching": False}, 544),
    ("0.33.0", {"mamba_cache_mode": "align", "block_size": 128}, 640),
    ("0.20.2", {"prefix_caching": False}, 544),
    ("0.14.1", {"prefix_caching": False}, 544),
    ("0.11.2", {"prefix_caching": False}, 544),
]


@pytest.mark.parametrize(("release", "options", "block_size"), BLOCKS)
def test_attention_blocks_hold_a_state(release: str, options: dict[str, Any], block_size: int) -> None:
    """The granule depends on release, cache mode and `--block-size`; all pages are equal."""
    plan = planned(engine(model(NEXT), release, is_hybrid=True, max_model_len=65536, **options))
    attention = next(group for group in plan.groups if group.kind == "FullAttention")
    assert attention.block_size == block_size
    assert {group.page_bytes for group in plan.groups} == {block_size * 2048}


def test_qwen_3_8_as_it_was_logged() -> None:
    """A state of 3,207,168 bytes beside 2048 bytes a token and layer: 1568 tokens (vllm-memory.md 3.5)."""
    fields = {
        "architectures": ["Qwen3_5ForCausalLM"],
        "num_hidden_layers": 64,
        "hidden_size": 5120,
        "num_attention_heads": 24,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "full_attention_interval": 4,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 48,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
        "mtp_num_hidden_layers": 1,
    }
    config = engine(
        ModelArchitecture("test/hybrid", fields),
        "0.26.0",
        kv_cache_dtype="fp8",
        max_model_len=32768,
        is_hybrid=True,
        mamba_ssm_cache_dtype="float32",
        other={"speculative_method": "mtp"},
    )
    plan = planned(config)
    assert plan.groups[0].page_bytes == 1568 * 2048
    padding = 1 - 3_207_168 / plan.groups[0].page_bytes
    assert padding == pytest.approx(0.0013, abs=0.0001)
    # 48 states in three groups of 17 places, three of them padding; 17 of attention with the MTP module.
    assert sorted(group.layers for group in plan.groups) == [16, 16, 16, 17]
    assert plan.bytes_per_block == 17 * 1568 * 2048


def test_speculation_keeps_more_states() -> None:
    """One block a draft token beside those of the mode (vllm-memory.md 3.4)."""
    hybrid = model(NEXT)
    options: dict[str, Any] = {"is_hybrid": True, "max_model_len": 4096}
    plain = planned(engine(hybrid, gpu=GPUS["b200"], mamba_cache_mode="align", **options))
    three = planned(
        engine(hybrid, gpu=GPUS["b200"], mamba_cache_mode="align", num_speculative_tokens=3, **options)
    )
    exported = planned(engine(hybrid, mamba_cache_mode="align", **options))
    none = planned(engine(hybrid, prefix_caching=False, **options))
    states = [plan.groups[0].blocks_per_request for plan in (plain, three, exported, none)]
    assert states == [2, 5, 3, 1]


def test_states_that_outgrow_the_block_they_were_sized_for() -> None:
    """LFM2 forgets the draft tokens' rows when it sizes the block: 0.33.0 fails on an assertion."""
    fields = {
        "architectures": ["Lfm2ForCausalLM"],
        "num_hidden_layers": 16,
        "hidden_size": 2048,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "conv_L_cache": 3,
        "conv_dim": 2048,
        "full_attn_idxs": [2, 5, 8, 10, 12, 14],
    }
    lfm = ModelArchitecture("test/lfm", fields)
    options: dict[str, Any] = {"tp": 4, "kv_cache_dtype": "fp8", "max_model_len": 1024, "is_hybrid": True}
    assert isinstance(plan_kv(engine(lfm, **options), GIB), KvPlan)
    refusal = plan_kv(engine(lfm, num_speculative_tokens=5, **options), GIB)
    assert isinstance(refusal, Refusal)
    assert (refusal.rule, refusal.stage) == ("state-exceeds-page", "groups")


def test_early_releases_do_not_speculate_with_states() -> None:
    """Only Qwen3-Next may, up to 0.16."""
    granite = engine(model("ibm-granite/granite-4.0-h-micro"), "0.14.1", num_speculative_tokens=1)
    answer = plan_kv(granite, GIB)
    assert isinstance(answer, Refusal)
    assert (answer.rule, answer.stage) == ("state-with-speculation", "model")
    assert isinstance(plan_kv(engine(model(NEXT), "0.14.1", num_speculative_tokens=1), 60 * GIB), KvPlan)


def test_deepseek_v4_packs_its_pages() -> None:
    """Groups, pages and the block of vllm-memory.md 3.6; every cache is the same on all tensor ranks."""
    one = planned(engine(model("deepseek-ai/DeepSeek-V4-Flash"), max_model_len=8192))
    eight = planned(engine(model("deepseek-ai/DeepSeek-V4-Flash"), max_model_len=8192, tp=8))
    assert one.bytes_per_block == eight.bytes_per_block == 1_002_240
    assert one.block_size == 4
    assert [group.layers for group in one.groups] == [22, 21, 62, 42, 20]
    assert dict(one.groups[2].pages) == {
        "MLAAttention:37440": 21,
        "MLAAttention:8640": 21,
        "MLAAttention:1728": 20,
    }


def test_least_padding() -> None:
    """The size all values round up to with least waste, the larger of equals."""
    assert least_padding([43, 21, 20], 21) == 22
    assert least_padding([10, 20, 30], 1) == 10
    assert least_padding([5], 7) == 7


def test_drafters_share_the_pool() -> None:
    """An MTP module of DeepSeek-V3 is a 62nd layer; an EAGLE head is taken to be like the model's layers."""
    latent = model("deepseek-ai/DeepSeek-V3")
    mtp = engine(latent, tp=8, num_speculative_tokens=1, other={"speculative_method": "mtp"})
    assert planned(mtp).groups[0].layers == 62
    eagle = engine(
        dense(), num_speculative_tokens=3, other={"speculative_method": "eagle3", "speculative_model": "x/y"}
    )
    plan = planned(eagle)
    assert plan.groups[0].layers == 33
    assert plan.assumptions
    named = {"speculative_method": "draft_model", "speculative_model": "meta-llama/Llama-3.2-1B"}
    small = planned(engine(dense(), num_speculative_tokens=3, other=named))
    assert small.bytes_per_block == 32 * 65536 + 16 * 16 * 8 * 2 * 64 * 2
    unknown = {"speculative_method": "draft_model", "speculative_model": "x/y"}
    assert isinstance(plan_kv(engine(dense(), num_speculative_tokens=3, other=unknown), GIB), UnknownLayers)


def test_a_chain_of_modules_keeps_more_of_a_window() -> None:
    """Three modules prefill their last tokens again (vllm-memory.md 3.4)."""
    chain = dense(sliding_window=512, num_nextn_predict_layers=3)
    options: dict[str, Any] = {"num_speculative_tokens": 3, "other": {"speculative_method": "mtp"}}
    old = planned(engine(chain, "0.27.0", model_runner="v2", **options))
    new = planned(engine(chain, "0.28.0", model_runner="v2", **options))
    tokens = 511 + 2 * 8192
    assert old.groups[0].blocks_per_request == -(-tokens // 16) + 1
    assert new.groups[0].blocks_per_request == -(-(tokens + 2) // 16) + 1


def test_the_drafter_sits_on_the_last_stage() -> None:
    """Pipeline stages of 16 layers, the last with one more."""
    eagle = {"speculative_method": "eagle"}
    plan = planned(engine(dense(), pp=2, num_speculative_tokens=2, max_model_len=4096, other=eagle))
    assert plan.bytes_per_block == 17 * 65536


def test_v0_has_one_pool() -> None:
    """Windows are kept in full; a length is compared with what the pool holds."""
    gemma = model("google/gemma-2-9b-it")
    config = engine(gemma, "0.7.3", model_runner="v0", max_model_len=8192)
    plan = planned(config, 10 * GIB)
    assert plan.bytes_per_block == 42 * 16 * 8 * 2 * 256 * 2
    assert plan.num_blocks == 10 * GIB // plan.bytes_per_block
    assert plan.kv_tokens == plan.num_blocks * 16
    assert plan.max_concurrency == plan.kv_tokens / 8192
    assert planned(config, plan.needed_bytes).kv_tokens == 8192
    refusal = plan_kv(config, plan.needed_bytes - 1)
    assert isinstance(refusal, KvRefusal)
    assert "larger than the maximum number of tokens that can be stored in KV cache (8176)" in refusal.message
    assert refusal.estimated_max_len == 8176
    early = plan_kv(engine(model("deepseek-ai/DeepSeek-V3"), "0.6.6", model_runner="v0"), GIB)
    assert isinstance(early, UnknownLayers)


def test_windows_were_full_before_the_hybrid_manager() -> None:
    """V1 up to 0.9.0 knows one kind of table; since 0.9.1 there are two."""
    gemma = model("google/gemma-2-9b-it")
    assert len(planned(engine(gemma, "0.8.5", max_model_len=8192)).groups) == 1
    assert len(planned(engine(gemma, "0.9.1", max_model_len=8192)).groups) == 2


def test_models_without_a_cache() -> None:
    """An encoder keeps nothing; vLLM still counts one block."""
    plan = planned(engine(model("BAAI/bge-m3"), max_model_len=8192), 0)
    assert (plan.num_blocks, plan.kv_tokens, plan.needed_bytes, plan.groups) == (1, 0, 0, ())


def test_a_partition_that_does_not_fit() -> None:
    """VLLM_PP_LAYER_PARTITION has to name every layer once."""
    answer = plan_kv(engine(dense(), pp=2, env={"VLLM_PP_LAYER_PARTITION": "10,10"}), 40 * GIB)
    assert isinstance(answer, Refusal)
    assert answer.rule == "pp-layer-partition"
