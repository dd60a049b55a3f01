"""KV cache plans: the worked examples of vllm-memory.md 5, refusals and the levers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kv_samples import GIB, GPUS, dense, engine, model

from vllmlint.engine.config import EngineConfig, Refusal
from vllmlint.memory.kv_plan import KvPlan, KvRefusal, kv_needed_bytes, plan_kv
from vllmlint.models.catalogue import find_architecture


def planned(config: EngineConfig, available_bytes: int) -> KvPlan:
    """The plan of a configuration that starts."""
    answer = plan_kv(config, available_bytes)
    assert isinstance(answer, KvPlan), answer
    return answer


def refused(config: EngineConfig, available_bytes: int) -> Refusal:
    """The refusal of one that does not."""
    answer = plan_kv(config, available_bytes)
    assert isinstance(answer, Refusal), answer
    return answer


#: vllm-memory.md 5, the rows of 0.11.2: model, tensor parallel size, batched tokens, available GiB,
#: length, bytes a block, tokens a block, blocks a request, needed GiB.
EXAMPLES_0_11_2 = [
    ("meta-llama/Llama-3.1-8B", 1, 2048, "a100", 131072, 2_097_152, 16, 8192, 16.0),
    ("meta-llama/Llama-3.3-70B-Instruct", 4, 8192, "h100", 131072, 1_310_720, 16, 8192, 10.0),
    ("Qwen/Qwen3-32B", 1, 8192, "h100", 40960, 4_194_304, 16, 2560, 10.0),
    ("deepseek-ai/DeepSeek-V3", 8, 8192, "h100", 163840, 4_497_408, 64, 2560, 10.7),
    # The note says 11.4 GiB, which is 9350 padded blocks; 0.11.2 adds up the layers without padding (3.9).
    ("google/gemma-3-27b-it", 1, 2048, "a100", 131072, 1_310_720, 16, 9350, 11.23),
    ("openai/gpt-oss-120b", 1, 8192, "h100", 131072, 589_824, 16, 8713, 4.79),
]


@pytest.mark.parametrize("example", EXAMPLES_0_11_2, ids=lambda example: str(example[0]))
def test_the_worked_examples_of_0_11_2(example: tuple[str, int, int, str, int, int, int, int, float]) -> None:
    """Bytes a block, blocks a request and needed GiB are those of the note."""
    name, tp, batched, gpu, length, block_bytes, block_size, blocks, needed_gib = example
    config = engine(
        model(name), "0.11.2", gpu=GPUS[gpu], max_model_len=length, max_num_batched_tokens=batched, tp=tp
    )
    plan = planned(config, 60 * GIB)
    assert plan.bytes_per_block == block_bytes
    assert plan.block_size == block_size
    assert plan.num_blocks == 60 * GIB // block_bytes
    assert plan.num_blocks / plan.max_concurrency == pytest.approx(blocks)
    assert plan.needed_bytes / GIB == pytest.approx(needed_gib, abs=0.05)


def test_gemma_3_logs_a_group_s_share_until_0_20_2() -> None:
    """The same memory logs 32,128 tokens in 0.11.2 and what concurrency makes of the length later (3.9)."""
    gemma = model("google/gemma-3-27b-it")
    options = {"gpu": GPUS["a100"], "max_num_batched_tokens": 2048}
    old = planned(engine(gemma, "0.11.2", **options), 14061 * 1_310_720)
    new = planned(engine(gemma, "0.20.2", **options), 14061 * 1_310_720)
    assert old.num_blocks == new.num_blocks == 14061
    assert old.kv_tokens == 14061 // 7 * 16 == 32128
    assert new.kv_tokens == int(14061 / 9350 * 131072)


def test_needed_of_0_33_0_counts_every_batch_in_flight() -> None:
    """Gemma-3-27B on an A100 needs 10118 blocks where 0.11.2 needs 9350 (vllm-memory.md 3.4, 5)."""
    plan = planned(
        engine(model("google/gemma-3-27b-it"), gpu=GPUS["a100"], max_num_batched_tokens=2048), 20 * GIB
    )
    assert plan.in_flight_tokens == 4096
    assert plan.needed_bytes == 10118 * plan.bytes_per_block
    assert sum(group.blocks_per_request for group in plan.groups) == 10118


@pytest.mark.parametrize(("release", "needed"), [("0.20.2", 7_637_565_440), ("0.33.0", 9_650_831_360)])
def test_the_same_server_needs_more_since_0_26(release: str, needed: int) -> None:
    """Gemma-3-27B, TP2, 8192 batched tokens: the remark of vllm-memory.md 3.4."""
    assert kv_needed_bytes(engine(model("google/gemma-3-27b-it"), release, tp=2)) == needed


@pytest.mark.parametrize(("release", "spare"), [("0.28.0", 0), ("0.29.0", 1), ("0.33.0", 1)])
def test_the_null_block_is_held_back_since_0_29(release: str, spare: int) -> None:
    """One block more than one request takes is needed; to the byte."""
    config = engine(dense(), release)
    needed = kv_needed_bytes(config)
    assert isinstance(needed, int)
    block = 2_097_152
    assert needed == 8192 * block
    assert isinstance(plan_kv(config, needed + spare * block), KvPlan)
    refusal = refused(config, needed + spare * block - 1)
    assert isinstance(refusal, KvRefusal)
    assert refusal.rule == "kv-cache-cannot-hold-max-len"
    assert refusal.stage == "kv"
    assert refusal.needed_bytes == needed
    assert refusal.estimated_max_len == 131072 - 16


def test_0_14_asks_for_the_first_group_only() -> None:
    """Gemma-3-27B passes on a third of a GiB and then holds less than one request (vllm-memory.md 3.9)."""
    config = engine(model("google/gemma-3-27b-it"), "0.14.1", tp=2)
    plan = planned(config, GIB)
    assert plan.needed_bytes == pytest.approx(0.35 * GIB, rel=0.01)
    assert plan.max_concurrency < 1
    assert refused(engine(model("google/gemma-3-27b-it"), "0.19.0", tp=2), GIB).stage == "kv"


def test_nothing_left() -> None:
    """The message of a cache without any memory."""
    assert refused(engine(dense()), 0).rule == "no-memory-for-kv-cache"
    assert "No available memory for the cache blocks" in refused(engine(dense()), -5).message


def test_auto_length() -> None:
    """`--max-model-len auto` shortens to what fits, and refuses where not one token does."""
    plan = planned(engine(dense(), max_model_len=-1), 4 * GIB)
    assert plan.auto_max_model_len == plan.max_model_len == (4 * GIB // 2_097_152 - 1) * 16
    assert plan.max_concurrency == pytest.approx(2048 / 2047)
    assert planned(engine(dense(), max_model_len=-1), 40 * GIB).auto_max_model_len is None
    assert refused(engine(dense(), max_model_len=-1), 2_097_152).rule == "kv-cache-cannot-auto-fit"


def test_block_override_is_tested_since_0_20_2() -> None:
    """The count is taken as it is; the check believes the memory before, the count since."""
    override = {"num_gpu_blocks_override": 100}
    assert planned(engine(dense(), "0.14.1", settings=override), 20 * GIB).num_blocks == 100
    assert (
        refused(engine(dense(), "0.20.2", settings=override), 20 * GIB).rule == "kv-cache-cannot-hold-max-len"
    )
    assert planned(engine(dense(), max_model_len=1024, settings=override), 1).num_blocks == 100


def test_stages_share_the_smallest_count() -> None:
    """The tightest pipeline stage decides; the remainder of the layers goes before the last stage."""
    config = engine(dense(num_hidden_layers=34), pp=4, max_model_len=4096)
    plan = planned(config, [20 * GIB, 20 * GIB, 10 * GIB, 20 * GIB])
    assert plan.bytes_per_block == 9 * 65536
    assert plan.num_blocks == 10 * GIB // (9 * 65536)
    split = engine(dense(), pp=2, max_model_len=4096, env={"VLLM_PP_LAYER_PARTITION": "20,12"})
    assert planned(split, 20 * GIB).bytes_per_block == 20 * 65536


def test_hybrid_manager_off_charges_windows_in_full() -> None:
    """One group of all layers, and a need of full length for each (vllm-memory.md 3.3)."""
    gpt = model("openai/gpt-oss-20b")
    on = planned(engine(gpt), 20 * GIB)
    off = planned(engine(gpt, disable_hybrid_kv_cache_manager=True), 20 * GIB)
    assert [group.kind for group in on.groups] == ["SlidingWindow", "FullAttention"]
    assert [(group.kind, group.layers, group.window) for group in off.groups] == [("FullAttention", 24, 128)]
    assert off.needed_bytes == 2 * 12 * 131072 * 2048
    hybrid = engine(model("Qwen/Qwen3-Next-80B-A3B-Instruct"), disable_hybrid_kv_cache_manager=True)
    assert refused(hybrid, 20 * GIB).stage == "groups"


def test_context_parallelism_divides_a_request() -> None:
    """Tokens are spread over the ranks, so one needs a share of the blocks; windows refuse."""
    latent = model("deepseek-ai/DeepSeek-V3")
    one = planned(engine(latent, tp=8), 40 * GIB)
    four = planned(engine(latent, tp=8, dcp=4), 40 * GIB)
    assert four.max_concurrency == pytest.approx(4 * one.max_concurrency)
    assert refused(engine(model("openai/gpt-oss-20b"), tp=8, dcp=2), 40 * GIB).stage == "groups"


CONFIGS = [
    engine(dense(), max_model_len=8192),
    engine(model("google/gemma-3-27b-it"), max_model_len=8192, tp=2),
    engine(model("Qwen/Qwen3-Next-80B-A3B-Instruct"), max_model_len=8192, mamba_cache_mode="align"),
    engine(model("deepseek-ai/DeepSeek-V4-Flash"), max_model_len=8192),
    engine(model("google/gemma-3-27b-it"), "0.20.2", max_model_len=8192, pp=2),
]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CONFIGS), st.integers(0, 40 * GIB), st.integers(0, 4 * GIB))
def test_more_memory_never_holds_less(config: EngineConfig, available: int, more: int) -> None:
    """Blocks, tokens and concurrency grow with memory, and what starts keeps starting."""
    less = plan_kv(config, available)
    if isinstance(less, KvPlan):
        plan = planned(config, available + more)
        assert plan.num_blocks >= less.num_blocks
        assert plan.kv_tokens >= less.kv_tokens
        assert plan.max_concurrency >= less.max_concurrency
        assert less.num_blocks * less.bytes_per_block <= available


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 131072), st.integers(0, 4096), st.sampled_from(["0.11.2", "0.20.2", "0.26.0", "0.33.0"])
)
def test_a_longer_request_never_needs_less(length: int, more: int, release: str) -> None:
    """Need grows with the length, whatever the kinds of layers."""
    gemma = model("google/gemma-3-27b-it")
    short = kv_needed_bytes(engine(gemma, release, max_model_len=length))
    longer = kv_needed_bytes(engine(gemma, release, max_model_len=length + more))
    assert isinstance(short, int)
    assert isinstance(longer, int)
    assert longer >= short


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 131072), st.integers(1, 60 * GIB))
def test_the_estimate_is_the_longest_that_fits(length: int, available: int) -> None:
    """The refusal's length starts, one token more does not."""
    gemma = model("google/gemma-3-27b-it")
    answer = plan_kv(engine(gemma, max_model_len=length), available)
    if isinstance(answer, KvRefusal) and answer.estimated_max_len:
        fits = answer.estimated_max_len
        assert isinstance(plan_kv(engine(gemma, max_model_len=fits), available), KvPlan)
        assert isinstance(plan_kv(engine(gemma, max_model_len=fits + 1), available), Refusal)


def test_images_that_attend_to_themselves_leave_triton_alone() -> None:
    """Gemma 3 with its tower on an A100 has no backend for an fp8 cache; as a text model it has."""
    found = find_architecture("google/gemma-3-27b-it")
    assert found is not None
    options: dict[str, Any] = {"gpu": GPUS["a100"], "kv_cache_dtype": "fp8", "max_model_len": 8192}
    refusal = refused(engine(found, **options), 40 * GIB)
    assert (refusal.rule, refusal.stage) == ("fp8-cache-unsupported", "model")
    text = engine(found, settings={"language_model_only": True}, **options)
    assert planned(text, 40 * GIB).backends == ("FLASHINFER",)
