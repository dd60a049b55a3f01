"""Weight memory by rank and stage: known start-ups, sharding, quantisation, and what must always hold."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weight_cases import A100, engine_config

from vllmlint.hardware.gpu import Gpu
from vllmlint.memory.band import Term
from vllmlint.memory.weights import WeightsUnknownError, weight_terms, weight_total
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import catalogue_ids, find_architecture
from vllmlint.models.modules import missing_sizes

L4 = Gpu("nvidia-l4", "NVIDIA L4", "nvidia", 22.05, (8, 9), 58)
RTX_3090 = Gpu("nvidia-rtx-3090", "NVIDIA GeForce RTX 3090", "nvidia", 23.57, (8, 6), 82)


def _gib(model: str | ModelArchitecture, stage: int = 0, **more: Any) -> float:
    return weight_total(weight_terms(engine_config(model, **more), stage)).mid


def _term(terms: tuple[Term, ...], name: str) -> Term:
    return next(term for term in terms if term.name == name)


#: What vLLM logged ("Model loading took"), GiB.
LOGGED = [
    ("meta-llama/Llama-3.1-8B-Instruct", 14.9889, {"gpu": A100, "release": "0.9.0"}),
    ("Qwen/Qwen2-7B-Instruct", 14.2488, {"gpu": A100, "release": "0.10.1.1"}),
    ("Qwen/Qwen2-7B-Instruct", 7.1217, {"gpu": A100, "release": "0.10.1.1", "tp": 2}),
    ("Qwen/Qwen3-32B", 30.59, {"release": "0.11.0", "tp": 2}),
    ("Qwen/Qwen2.5-VL-7B-Instruct", 15.6271, {"gpu": L4, "release": "0.9.0.1"}),
    ("Qwen/Qwen3-30B-A3B-Instruct-2507", 56.9342, {"release": "0.10.2"}),
    ("Qwen/Qwen3.5-27B", 13.01, {"gpu": RTX_3090, "release": "0.19.0", "tp": 4}),
    ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", 67.72, {"release": "0.11.0"}),
    ("Qwen/Qwen3-235B-A22B-FP8", 27.6656, {"release": "0.10.0", "tp": 8, "ep": True}),
    ("mistralai/Mistral-Small-3.2-24B-Instruct-2506", 44.76, {"release": "0.11.0"}),
    ("openai/gpt-oss-120b", 65.9651, {"release": "0.10.1"}),
    ("openai/gpt-oss-120b", 64.38, {"release": "0.11.0"}),
    ("openai/gpt-oss-20b", 13.47, {"release": "0.11.0"}),
    ("Qwen/Qwen2.5-14B-Instruct-AWQ", 9.3795, {"gpu": RTX_3090, "release": "0.13.0", "dtype": "float16"}),
    ("deepseek-ai/DeepSeek-R1", 79.41, {"release": "0.8.5", "tp": 8}),
]


@pytest.mark.parametrize(("model", "logged", "more"), LOGGED, ids=[f"{row[0]}-{row[1]}" for row in LOGGED])
def test_logged_start_ups(model: str, logged: float, more: dict[str, Any]) -> None:
    assert _gib(model, **more) == pytest.approx(logged, rel=0.003)


def test_the_hand_check_of_llama() -> None:
    """vllm-memory.md 5: 8,030,261,248 parameters of two bytes and 33,554,432 bytes of rotary tables."""
    assert _gib("meta-llama/Llama-3.1-8B-Instruct") == pytest.approx(
        (8_030_261_248 * 2 + 33_554_432) / 2**30, abs=2e-4
    )


def test_worked_examples() -> None:
    assert _gib("meta-llama/Llama-3.1-70B-Instruct", tp=4) == pytest.approx(32.89, rel=0.002)
    assert _gib("Qwen/Qwen3-32B-FP8") == pytest.approx(31.98, rel=0.003)
    assert _gib("deepseek-ai/DeepSeek-V3", tp=8) == pytest.approx(79.55, rel=0.004)
    assert _gib("google/gemma-3-27b-it", gpu=A100) == pytest.approx(51.4, rel=0.003)


def test_gemma_keeps_a_quarter_gib_of_rotary_tables() -> None:
    terms = weight_terms(engine_config("google/gemma-3-27b-it"), 0)
    assert _term(terms, "rotary positions").gib.mid == pytest.approx(0.25 + 0.03125)


def test_latent_attention_keeps_absorbed_copies() -> None:
    terms = weight_terms(engine_config("deepseek-ai/DeepSeek-V3", tp=8), 0)
    assert _term(terms, "absorbed latent attention").gib.mid == pytest.approx(0.24, abs=0.01)


def test_expert_parallelism_keeps_whole_experts() -> None:
    cut = weight_terms(engine_config("Qwen/Qwen3-235B-A22B", tp=8), 0)
    spread = weight_terms(engine_config("Qwen/Qwen3-235B-A22B", tp=8, ep=True), 0)
    assert _term(cut, "experts").gib.mid == pytest.approx(_term(spread, "experts").gib.mid, rel=0.001)


def test_data_parallel_ranks_share_experts_and_copy_the_rest() -> None:
    one = weight_terms(engine_config("deepseek-ai/DeepSeek-V3"), 0)
    eight = weight_terms(engine_config("deepseek-ai/DeepSeek-V3", dp=8, ep=True), 0)
    assert _term(eight, "experts").gib.mid * 8 == pytest.approx(_term(one, "experts").gib.mid, rel=0.001)
    assert _term(eight, "linear layers").gib.mid == _term(one, "linear layers").gib.mid


def test_redundant_experts_add_to_each_rank() -> None:
    plain = engine_config("deepseek-ai/DeepSeek-V3", tp=8, ep=True)
    more = {"enable_eplb": True, "eplb_config": {"num_redundant_experts": 32}}
    padded = engine_config("deepseek-ai/DeepSeek-V3", tp=8, ep=True, settings=more)
    ratio = (
        _term(weight_terms(padded, 0), "experts").gib.mid / _term(weight_terms(plain, 0), "experts").gib.mid
    )
    assert ratio == pytest.approx((256 + 32) / 256, rel=0.001)


def test_a_dense_model_ignores_data_parallelism() -> None:
    assert _gib("Qwen/Qwen3-32B", dp=4) == _gib("Qwen/Qwen3-32B")


def test_key_value_heads_are_copied_where_ranks_outnumber_them() -> None:
    whole = _gib("Qwen/Qwen3-235B-A22B", tp=4)
    assert _gib("Qwen/Qwen3-235B-A22B", tp=8) > whole / 2


def test_pipeline_ends_hold_the_embedding_and_the_head() -> None:
    model, ends = "meta-llama/Llama-3.1-70B-Instruct", 128256 * 8192 * 2 / 2**30
    first, middle, last = (_gib(model, stage, pp=4) for stage in (0, 1, 3))
    assert first - middle == pytest.approx(ends, rel=0.01)
    assert last - middle == pytest.approx(ends, rel=0.01)


def test_what_is_left_over_goes_to_the_stages_before_the_last() -> None:
    model = "Qwen/Qwen3-235B-A22B"  # 94 layers
    stages = [_gib(model, stage, pp=4) for stage in range(4)]
    assert stages[2] > stages[3]
    assert stages[1] == pytest.approx(stages[2], rel=1e-6)


def test_a_given_partition() -> None:
    model = "meta-llama/Llama-3.1-8B-Instruct"
    env = {"VLLM_PP_LAYER_PARTITION": "20,12"}
    assert _gib(model, pp=2, env=env) > _gib(model, 1, pp=2, env=env)
    assert _gib(model, pp=2, env={"VLLM_PP_LAYER_PARTITION": "20,20"}) == _gib(model, pp=2)


def test_a_tied_embedding_is_on_both_ends() -> None:
    stages = [_gib("Qwen/Qwen3-0.6B", stage, pp=2) for stage in (0, 1)]
    assert sum(stages) > _gib("Qwen/Qwen3-0.6B") + 0.25


def test_online_quantisation_halves_the_linear_layers() -> None:
    model = "Qwen/Qwen3-32B"
    plain = weight_terms(engine_config(model), 0)
    for method in ("fp8", "fp8_per_tensor"):
        terms = weight_terms(engine_config(model, quantization=method, release="0.26.0"), 0)
        half = _term(plain, "linear layers").gib.mid / 2
        assert _term(terms, "linear layers").gib.mid == pytest.approx(half, rel=0.01)
        assert _term(terms, "embeddings and head").gib.mid == _term(plain, "embeddings and head").gib.mid


def test_a_language_model_alone_has_no_tower() -> None:
    names = {term.name for term in weight_terms(engine_config("google/gemma-3-27b-it"), 0)}
    assert "vision tower" in names
    for asked in ({"language_model_only": True}, {"limit_mm_per_prompt": {"image": 0, "video": 0}}):
        config = engine_config("google/gemma-3-27b-it", settings=asked)
        assert "vision tower" not in {term.name for term in weight_terms(config, 0)}


def test_a_tower_for_every_rank_in_data_mode() -> None:
    model = "Qwen/Qwen3-VL-8B-Instruct"
    cut = weight_terms(engine_config(model, tp=4), 0)
    copied = weight_terms(engine_config(model, tp=4, settings={"mm_encoder_tp_mode": "data"}), 0)
    assert _term(copied, "vision tower").gib.mid > 2 * _term(cut, "vision tower").gib.mid


def test_lora_slots() -> None:
    given = {"enable_lora": True, "max_loras": 64, "max_lora_rank": 16}
    terms = weight_terms(engine_config("Qwen/Qwen3-4B", settings=given), 0)
    assert weight_total(terms).low < 12.49 < weight_total(terms).high  # logged by 0.27.1
    assert _term(terms, "LoRA slots").gib.mid > 3.9


def test_mtp_layers_are_loaded_when_asked() -> None:
    given = {"speculative_config": {"method": "mtp", "num_speculative_tokens": 1}}
    terms = weight_terms(engine_config("Qwen/Qwen3.5-27B", tp=2, settings=given), 0)
    assert _term(terms, "MTP layers").gib.mid == pytest.approx(424.7e6 * 2 / 2 / 2**30, rel=0.02)


def test_a_draft_model_is_divided_by_its_own_size() -> None:
    given = {
        "speculative_config": {
            "model": "Qwen/Qwen3-0.6B",
            "num_speculative_tokens": 3,
            "draft_tensor_parallel_size": 1,
        }
    }
    terms = weight_terms(engine_config("Qwen/Qwen3-32B", tp=2, settings=given), 0)
    assert _term(terms, "draft model").gib.mid == pytest.approx(596_049_920 * 2 / 2**30, rel=0.01)


def test_drafting_by_lookup_needs_no_weights() -> None:
    given = {"speculative_config": {"method": "ngram", "num_speculative_tokens": 3}}
    assert _gib("Qwen/Qwen3-32B", settings=given) == _gib("Qwen/Qwen3-32B")


def test_offloaded_weights_leave_the_gpu() -> None:
    model = "Qwen/Qwen3-32B"
    assert _gib(model, settings={"cpu_offload_gb": 10}) == pytest.approx(_gib(model) - 10)
    assert _gib("Qwen/Qwen3-0.6B", settings={"cpu_offload_gb": 10}) == pytest.approx(0.0098, abs=0.001)


def test_a_model_without_sizes_is_unknown_or_by_its_files() -> None:
    fields = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64}
    with pytest.raises(WeightsUnknownError, match="no checkpoint size"):
        weight_terms(engine_config(ModelArchitecture("some/model", fields)), 0)
    by_files = ModelArchitecture("some/model", fields, published={"checkpoint_gb": 16.0})
    band = weight_total(weight_terms(engine_config(by_files), 0))
    assert band.low < 16e9 / 2**30 < band.high


def test_a_doubtful_scheme_widens_the_band() -> None:
    terms = weight_terms(engine_config("poolside/Laguna-S-2.1-FP8"), 0)
    experts = _term(terms, "experts").gib
    assert experts.low < experts.mid < experts.high
    assert "list of unquantised modules" in experts.reason


def test_every_term_shows_its_numbers() -> None:
    for term in weight_terms(engine_config("meta-llama/Llama-3.1-8B-Instruct", tp=2), 0):
        assert term.formula
    formula = _term(weight_terms(engine_config("Qwen/Qwen3-8B", tp=2), 0), "linear layers").formula
    assert "36 x self_attn.q_proj 2048x4096" in formula


KNOWN = [
    model
    for model in catalogue_ids()
    if (found := find_architecture(model)) is not None and not missing_sizes(found)
]


@settings(max_examples=60, deadline=None)
@given(model=st.sampled_from(KNOWN), release=st.sampled_from(["0.8.5", "0.11.2", "0.20.2", "0.33.0"]))
def test_more_ranks_never_need_more_each(model: str, release: str) -> None:
    sizes = [_gib(model, tp=tp, release=release) for tp in (1, 2, 4, 8)]
    assert all(more >= less * 0.999 for more, less in pairwise(sizes))


@settings(max_examples=40, deadline=None)
@given(model=st.sampled_from(KNOWN), pp=st.integers(2, 4))
def test_stages_hold_at_least_the_whole(model: str, pp: int) -> None:
    assert sum(_gib(model, stage, pp=pp) for stage in range(pp)) >= _gib(model) * 0.999


@settings(max_examples=40, deadline=None)
@given(model=st.sampled_from(KNOWN))
def test_quantised_is_at_most_unquantised_and_bands_are_ordered(model: str) -> None:
    architecture = find_architecture(model)
    assert architecture is not None
    bare = {key: value for key, value in architecture.fields.items() if "quant" not in key}
    terms = weight_terms(engine_config(model), 0)
    # the published size of a quantised checkpoint says nothing of the plain one
    recorded = [term.gib.mid for term in terms if term.name != "towers not recorded"]
    plain = _gib(ModelArchitecture(model, bare))
    assert sum(recorded) <= plain * 1.001
    for term in terms:
        assert term.gib.low <= term.gib.mid <= term.gib.high
        assert not term.gib.low < term.gib.high or term.gib.reason


def test_what_a_checkpoint_has_beyond_its_config_is_perhaps_there() -> None:
    """The audio tower of Gemma 4 E2B: its files hold 0.32 billion parameters that no field tells of."""
    term = _term(weight_terms(engine_config("google/gemma-4-E2B-it"), 0), "towers not recorded")
    assert term.gib.low == 0.0
    assert term.gib.mid == pytest.approx(0.6, abs=0.05)
    alone = engine_config("google/gemma-4-E2B-it", settings={"language_model_only": True})
    assert "towers not recorded" not in {part.name for part in weight_terms(alone, 0)}


def test_mtp_layers_in_the_files_are_no_tower() -> None:
    names = {term.name for term in weight_terms(engine_config("Qwen/Qwen3.5-9B"), 0)}
    assert "towers not recorded" not in names


def test_a_pooling_model_has_no_head() -> None:
    model = "meta-llama/Llama-3.1-8B-Instruct"
    pooled = _gib(model, runner_type="pooling")
    assert _gib(model) - pooled == pytest.approx(128256 * 4096 * 2 / 2**30, rel=0.01)


def _gptq(**more: Any) -> ModelArchitecture:
    architecture = find_architecture("Qwen/Qwen2.5-7B-Instruct")
    assert architecture is not None
    config = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False, **more}
    return architecture.with_fields({**architecture.fields, "quantization_config": config})


def test_marlin_drops_the_zero_points_of_symmetric_weights() -> None:
    marlin = _gib(_gptq(), quantization="gptq_marlin")
    assert _gib(_gptq(), quantization="gptq") > marlin
    assert _gib(_gptq(sym=False), quantization="gptq_marlin") > marlin


def test_rocm_spaces_the_rows_of_experts() -> None:
    mi300x = Gpu("amd-mi300x", "AMD Instinct MI300X", "amd", 191.9)
    terms = weight_terms(engine_config("Qwen/Qwen3-30B-A3B", gpu=mi300x), 0)
    there = _term(terms, "experts").gib
    here = _term(weight_terms(engine_config("Qwen/Qwen3-30B-A3B"), 0), "experts").gib
    # rows of 2048 inputs and of 768, 128 numbers further apart
    assert there.mid / here.mid == pytest.approx((2 * (2048 + 128) / 2048 + (768 + 128) / 768) / 3, rel=0.001)
    assert there.low < here.mid < there.mid


def test_scales_of_bitsandbytes_were_a_byte_each() -> None:
    """5.2032 GiB logged by 0.7.x for a 7B model that bitsandbytes quantised while it loaded."""
    old = _gib("Qwen/Qwen2.5-7B-Instruct", quantization="bitsandbytes", release="0.7.3", dtype="float16")
    new = _gib("Qwen/Qwen2.5-7B-Instruct", quantization="bitsandbytes", release="0.11.0")
    assert old == pytest.approx(5.2032, rel=0.01)
    assert new > old


def test_an_unstated_group_size_is_a_matter_of_scales() -> None:
    band = weight_total(weight_terms(engine_config("Qwen/Qwen2.5-32B-Instruct-GPTQ-Int4"), 0))
    assert 0.95 < band.low / band.mid < 1 < band.high / band.mid < 1.1
    assert "group size" in band.reason


def test_an_unrecorded_list_reaches_to_plain_token_mixers() -> None:
    """A dense model's attention is a sixth of its layers, three quarters of which NVFP4 saves."""
    band = weight_total(weight_terms(engine_config("nvidia/Qwen3-32B-NVFP4"), 0))
    plain = weight_total(weight_terms(engine_config("Qwen/Qwen3-32B"), 0))
    attention = 64 * 2 * 5120 * (64 + 8) * 128
    more = attention * (2 - 0.5625) / 2**30
    assert band.high - band.mid == pytest.approx(more, rel=0.05)
    assert band.low == pytest.approx(band.mid, rel=0.01)
    assert band.high < plain.mid
