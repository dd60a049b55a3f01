"""The memory profile's terms against what vLLM logged, and how they move with each lever."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profile_cases import A100, GEMMA_27B, H100, L4, LLAMA_8B, QWEN3_30B, config

from vllmlint.hardware.gpu import Gpu
from vllmlint.memory.profile import ProfileTerms, profile_terms

#: vLLM 0.19.0 on H100, utilization 0.95, length 8192: peak activation and non-torch memory as logged
#: (llm-d-planner, accuracy/results/v0.19.0/accuracy_report.md), with the widths that matter.
LOGGED_019 = [
    ("Llama-3.1-8B", 4096, 14336, 32, 8, 128256, 1.89, 0.25),
    ("Qwen2.5-7B", 3584, 18944, 28, 4, 152064, 2.21, 0.24),
    ("Qwen3-8B", 4096, 12288, 32, 8, 151936, 2.21, 0.25),
    ("CodeLlama-7b", 4096, 11008, 32, 32, 32016, 0.77, 0.25),
    ("phi-4", 5120, 17920, 40, 10, 100352, 1.52, 0.25),
    ("gemma-2-2b", 2304, 9216, 8, 4, 256000, 3.62, 0.24),
    ("gemma-2-27b", 4608, 36864, 32, 16, 256000, 3.66, 0.26),
    ("granite-3.1-8b", 4096, 12800, 32, 8, 49155, 0.85, 0.46),
]


@pytest.mark.parametrize(
    ("name", "hidden", "inner", "heads", "kv", "vocabulary", "peak", "other"), LOGGED_019
)
def test_activation_of_0_19_as_logged(
    name: str, hidden: int, inner: int, heads: int, kv: int, vocabulary: int, peak: float, other: float
) -> None:
    fields = {
        **LLAMA_8B,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "vocab_size": vocabulary,
    }
    one = config(fields, "0.19.0")
    terms = profile_terms(one)
    band = terms.logged_activation_gib(one)
    assert abs(band.mid - peak) <= 0.03 * peak, name
    assert band.low <= peak <= band.high, name
    assert terms.non_torch.gib.low <= other <= terms.non_torch.gib.high + 0.1, name


@pytest.mark.parametrize(
    ("hidden", "logged"), [(2560, 3.89), (3840, 3.94), (5376, 3.99)], ids=["4b", "12b", "27b"]
)
def test_encoder_leaves_outputs_and_pixels(hidden: int, logged: float) -> None:
    """Gemma-3 on H100, 0.19.0: 32 images of 3 x 896 x 896 pixels and 256 tokens stay beside the sampler."""
    one = config({**GEMMA_27B, "hidden_size": hidden, "intermediate_size": 4 * hidden}, "0.19.0")
    assert profile_terms(one).logged_activation_gib(one).mid == pytest.approx(logged, abs=0.03)


def test_expert_workspace_stays_and_adds() -> None:
    """Qwen3-30B-A3B: 2.68 GiB in 0.19.0 (workspace kept), 5.58 GiB in 0.10.2 (sampler alone)."""
    new, old = config(QWEN3_30B, "0.19.0"), config(QWEN3_30B, "0.10.2")
    assert abs(profile_terms(new).logged_activation_gib(new).mid - 2.68) < 0.05
    assert profile_terms(new).workspace_gib.mid == pytest.approx(8192 * 8 * 2 * 4096 / 2**30)
    assert abs(profile_terms(old).logged_activation_gib(old).mid - 5.58) < 0.05
    assert profile_terms(old).workspace_gib.mid == 0


def test_sampler_by_engine() -> None:
    """Llama-3-8B: 1.26 GiB in V0 with 256 requests, 4.76 GiB in 0.11.0 with 1024."""
    v0 = config(LLAMA_8B, "0.6.5", model_runner="v0", max_num_seqs=256)
    v1 = config(LLAMA_8B, "0.11.0")
    assert abs(profile_terms(v0).activation.gib.mid - 1.26) < 0.03
    assert abs(profile_terms(v1).activation.gib.mid - 4.76) < 0.05


def test_flashinfer_sampler_only_where_chosen() -> None:
    chosen = config(LLAMA_8B, "0.11.0", env={"VLLM_USE_FLASHINFER_SAMPLER": "1"})
    assert profile_terms(chosen).activation.gib.mid < 2.0
    installed_or_not = profile_terms(config(LLAMA_8B, "0.10.1")).activation.gib
    assert installed_or_not.low < 2.0 < 4.5 < installed_or_not.mid


def test_pooling_model_has_no_sampler() -> None:
    generating = profile_terms(config(LLAMA_8B, "0.19.0")).activation.gib.mid
    assert (
        profile_terms(config(LLAMA_8B, "0.19.0", runner_type="pooling")).activation.gib.mid < generating / 1.9
    )


def test_sampler_only_on_the_last_stage() -> None:
    """Llama-3.1-8B with pipeline parallelism in 0.19.0: 1.05 to 1.10 GiB and 0.07 GiB on the first stage."""
    piped = config(LLAMA_8B, "0.19.0", pipeline_parallel_size=2)
    first, last = profile_terms(piped, 0), profile_terms(piped, 1)
    assert first.activation.gib.low < 1.1 < last.activation.gib.low
    assert abs(first.non_torch.gib.mid - 0.07) < 0.01


def test_one_model_over_the_releases() -> None:
    """Qwen3-14B on H100 (llm-d-planner, accuracy_report.md, Part 2): activation and non-torch memory."""
    fields = {**LLAMA_8B, "hidden_size": 5120, "intermediate_size": 17408, "num_attention_heads": 40}
    fields.update({"vocab_size": 151936, "head_dim": 128})
    logged = {"0.15.0": (5.64, 0.13), "0.16.0": (5.64, 0.13), "0.17.0": (2.23, 0.13), "0.18.0": (2.23, 0.25)}
    for version, (peak, other) in logged.items():
        terms = profile_terms(config(fields, version))
        assert terms.activation.gib.mid == pytest.approx(peak, abs=0.03), version
        assert terms.non_torch.gib.mid == pytest.approx(other, abs=0.04), version


@pytest.mark.parametrize(
    ("version", "ranks", "logged"),
    [("0.19.0", 2, 2.07), ("0.19.0", 4, 2.13), ("0.11.0", 2, 0.55), ("0.11.0", 1, 0.13)],
)
def test_non_torch_on_hopper(version: str, ranks: int, logged: float) -> None:
    band = profile_terms(config(LLAMA_8B, version, tensor_parallel_size=ranks)).non_torch.gib
    assert band.low <= logged <= band.high
    assert abs(band.mid - logged) <= 0.15


def test_shared_memory_is_uncertain() -> None:
    shared = Gpu("gb10", "NVIDIA GB10", "nvidia", 119.7, (12, 1), sm_count=48, unified_memory=True)
    own = Gpu("own", "NVIDIA GB10", "nvidia", 119.7, (12, 1), sm_count=48)
    bands = [profile_terms(config(LLAMA_8B, gpu=gpu)).non_torch.gib for gpu in (shared, own)]
    assert bands[0].high - bands[1].high == pytest.approx(11.97)
    assert bands[0].low == bands[1].low


def test_context_is_charged_before_0_9_1_and_outside_after() -> None:
    before, after = profile_terms(config(LLAMA_8B, "0.9.0")), profile_terms(config(LLAMA_8B, "0.9.1"))
    assert before.non_torch.gib.mid - after.non_torch.gib.mid == pytest.approx(0.5)
    assert after.outside_gib.mid > before.outside_gib.mid


def test_penalty_tables_of_the_second_runner() -> None:
    """4.125 B x 1024 requests x 128256 tokens = 0.505 GiB, charged since 0.27."""
    new = profile_terms(config(LLAMA_8B, "0.33.0", model_runner="v2"))
    assert new.buffers.gib.mid == pytest.approx(4.125 * 1024 * 128256 / 2**30, abs=0.01)
    old = profile_terms(config(LLAMA_8B, "0.26.0", model_runner="v2"))
    assert old.buffers.gib.mid == 0
    assert any(term.name == "runner buffers" and term.gib.mid > 0.5 for term in old.outside)


def test_cold_compile_costs_a_copy_of_the_embedding() -> None:
    """Qwen3-14B on L40S, 0.28.0: 1.76 GiB between weights and KV cache (0.92 x 44.42 - 27.52 - 11.57)."""
    fields = {**LLAMA_8B, "hidden_size": 5120, "intermediate_size": 17408, "vocab_size": 151936}
    small = {"max_num_seqs": 256, "max_num_batched_tokens": 2048, "model_runner": "v2", "gpu": L4}
    band = profile_terms(config(fields, "0.28.0", **small)).charged_gib
    assert band.low <= 0.58 <= 1.76 <= band.high  # a warm and a cold start
    assert abs(band.mid - 1.76) < 0.2
    eager = profile_terms(config(fields, "0.28.0", enforce_eager=True, **small)).charged_gib
    assert eager.high < 1.76


def test_encoder_outputs_fill_the_budget_in_0_11() -> None:
    """Gemma-3-27B: 32 images x 8192 tokens x 5376 x 2 B = 2.63 GiB held in 0.11-0.12 only."""
    old, new = (profile_terms(config(GEMMA_27B, version)).activation.gib for version in ("0.11.0", "0.13.0"))
    assert old.mid - new.mid == pytest.approx(32 * (8192 - 256) * 5376 * 2 / 2**30, rel=0.02)


@pytest.mark.parametrize(
    "setting",
    [{"language_model_only": True}, {"skip_mm_profiling": True}, {"limit_mm_per_prompt": {"image": 0}}],
)
def test_switched_off_encoder_costs_nothing(setting: dict[str, Any]) -> None:
    small = {"max_num_seqs": 8, "max_num_batched_tokens": 2048}
    with_encoder = profile_terms(config(GEMMA_27B, "0.19.0", **small)).activation.gib
    without = profile_terms(config(GEMMA_27B, "0.19.0", settings=setting, **small)).activation.gib
    assert without.mid < with_encoder.mid
    assert profile_terms(
        config(GEMMA_27B, "0.19.0", settings={"limit_mm_per_prompt": {"image": 1}}, **small)
    ) == (profile_terms(config(GEMMA_27B, "0.19.0", **small)))


def test_unknown_vocabulary_gives_no_narrow_answer() -> None:
    fields = {name: value for name, value in LLAMA_8B.items() if name != "vocab_size"}
    terms = profile_terms(config(fields))
    assert terms.unknown == ("vocab_size is not known",)
    assert terms.activation.gib.high - terms.activation.gib.low > 10


def test_mla_workspace_is_divided_by_tensor_parallelism() -> None:
    fields = {
        **QWEN3_30B,
        "kv_lora_rank": 512,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "num_attention_heads": 128,
    }
    eight, one = (
        profile_terms(config(fields, "0.11.2", tensor_parallel_size=size, max_num_seqs=1)).activation.gib.mid
        for size in (8, 1)
    )
    assert one - eight > 3.4  # 4 GiB against 0.5 GiB


def _ordered(terms: ProfileTerms) -> bool:
    return all(
        0 <= term.gib.low <= term.gib.mid <= term.gib.high for term in (*terms.charged, *terms.outside)
    )


@settings(max_examples=60, deadline=None)
@given(
    version=st.sampled_from(["0.6.6", "0.8.5", "0.9.2", "0.11.0", "0.15.0", "0.19.0", "0.26.0", "0.33.0"]),
    model=st.sampled_from([LLAMA_8B, QWEN3_30B, GEMMA_27B]),
    gpu=st.sampled_from([H100, A100, L4]),
    requests=st.integers(1, 2048),
    tokens=st.integers(2048, 16384),
    ranks=st.sampled_from([1, 2, 4, 8]),
    runner=st.sampled_from(["v1", "v2"]),
)
def test_bands_are_ordered_and_grow_with_the_batch(
    version: str, model: dict[str, Any], gpu: Any, requests: int, tokens: int, ranks: int, runner: str
) -> None:
    levers = {"gpu": gpu, "tensor_parallel_size": ranks, "model_runner": runner}
    here = profile_terms(
        config(model, version, max_num_seqs=requests, max_num_batched_tokens=tokens, **levers)
    )
    more = profile_terms(
        config(model, version, max_num_seqs=requests + 64, max_num_batched_tokens=tokens, **levers)
    )
    longer = profile_terms(
        config(model, version, max_num_seqs=requests, max_num_batched_tokens=tokens + 512, **levers)
    )
    assert _ordered(here)
    assert _ordered(more)
    assert here.activation.gib.mid <= longer.activation.gib.mid + 1e-9
    assert here.buffers.gib.mid <= more.buffers.gib.mid + 1e-9
    assert here.charged_gib.mid <= more.charged_gib.mid + 1e-9
