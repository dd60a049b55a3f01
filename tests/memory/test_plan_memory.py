"""Plans of whole requests: refusals, given caches, offloading, and requests that make no sense."""

from __future__ import annotations

from typing import Any

import pytest
from plan_samples import release

from vllmlint.engine.config import EngineRequest
from vllmlint.hardware.gpus import gpu_by_id
from vllmlint.memory.plan import MemoryPlan, plan_memory
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import find_architecture

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def planned(
    model: str = LLAMA, gpu: str = "nvidia-a100-80gb-sxm", version: str = "0.33.0", **settings: Any
) -> MemoryPlan:
    """The plan of a model."""
    architecture, card = find_architecture(model), gpu_by_id(gpu)
    assert architecture is not None
    assert card is not None
    return plan_memory(EngineRequest(release(version), architecture, card, settings, {}))


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"tensor_parallel_size": 0}, "size-below-one"),
        ({"pipeline_parallel_size": -1}, "size-below-one"),
        ({"data_parallel_size": 0}, "size-below-one"),
        ({"max_num_seqs": 0}, "size-below-one"),
        ({"max_model_len": 0}, "size-below-one"),
        ({"max_loras": 0}, "size-below-one"),
        ({"cpu_offload_gb": -5}, "size-below-zero"),
        ({"speculative_config": {"method": "ngram", "num_speculative_tokens": 0}}, "size-below-one"),
    ],
)
def test_sizes_that_no_release_takes(settings: dict[str, Any], rule: str) -> None:
    plan = planned(**settings)
    assert (plan.verdict, plan.stages, plan.kv) == ("does-not-fit", (), None)
    assert plan.refusal is not None
    assert plan.refusal.rule == rule
    assert plan.refusal.settings == tuple(settings)


def test_a_refused_configuration_says_what_vllm_says() -> None:
    plan = planned(tensor_parallel_size=3)
    assert plan.verdict == "does-not-fit"
    assert plan.refusal is not None
    assert plan.reason == plan.refusal.message
    assert "3" in plan.reason
    assert plan.config is None


def test_more_stages_than_layers() -> None:
    plan = planned(pipeline_parallel_size=33)
    assert plan.verdict in {"unknown", "does-not-fit"}
    assert plan.kv is None


def test_a_cache_of_a_given_size() -> None:
    plan = planned(kv_cache_memory_bytes=20 << 30)
    assert plan.kv is not None
    assert {one.available_gib for one in plan.kv} == {20.0}
    assert {one.blocks for one in plan.kv} == {20 * 1024 // 2}
    assert plan.verdict == "fits"
    assert planned(kv_cache_memory_bytes=15 << 30).verdict == "does-not-fit"


def test_blocks_that_are_given() -> None:
    plan = planned(num_gpu_blocks_override=9000)
    assert plan.kv is not None
    assert {one.blocks for one in plan.kv} == {9000}
    refused = planned(num_gpu_blocks_override=100)
    assert refused.verdict == "does-not-fit"
    # up to 0.14 the test did not look at the override
    assert planned(version="0.14.1", num_gpu_blocks_override=100).verdict == "fits"


@pytest.mark.parametrize(
    ("settings", "verdict"),
    [
        ({"kv_cache_memory_bytes": 50 << 30}, "fits"),
        # 15 GiB of weights, and no room for activations and graphs: it may start and end under load
        ({"kv_cache_memory_bytes": 62 << 30}, "depends"),
        ({"kv_cache_memory_bytes": 70 << 30}, "does-not-fit"),
        # 2 MiB a block
        ({"num_gpu_blocks_override": 25 * 1024}, "fits"),
        ({"num_gpu_blocks_override": 31 * 1024}, "depends"),
        ({"num_gpu_blocks_override": 35 * 1024}, "does-not-fit"),
        ({"num_gpu_blocks_override": 35 * 1024, "pipeline_parallel_size": 2}, "fits"),
    ],
)
def test_a_given_cache_needs_room_on_the_gpu(settings: dict[str, Any], verdict: str) -> None:
    plan = planned(**settings)
    assert plan.verdict == verdict
    if verdict == "fits":
        return
    assert "CUDA out of memory" in plan.reason
    assert next(iter(settings)) in plan.reason
    if verdict == "does-not-fit":
        assert plan.refusal is not None
        assert (plan.refusal.rule, plan.refusal.settings) == (
            "given-cache-exceeds-gpu",
            (next(iter(settings)),),
        )


@pytest.mark.parametrize("version", ["0.11.2", "0.33.0"])
def test_blocks_for_a_model_without_a_cache(version: str) -> None:
    plan = planned("BAAI/bge-large-en-v1.5", version=version, num_gpu_blocks_override=1000)
    assert (plan.verdict, plan.reason) == ("fits", "the model keeps no KV cache")


def test_a_given_cache_of_nothing() -> None:
    usual = planned()
    assert planned(kv_cache_memory_bytes=0).kv == usual.kv
    assert planned(kv_cache_memory_bytes=-5).verdict == "does-not-fit"


@pytest.mark.parametrize(
    ("version", "length", "verdict"),
    [
        ("0.12.0", -1, "unknown"),
        ("0.8.5", -7, "unknown"),
        ("0.13.0", -1, "does-not-fit"),
        ("0.14.0", -1, "fits"),
        ("0.14.0", -2, "does-not-fit"),
    ],
)
def test_a_length_below_zero(version: str, length: int, verdict: str) -> None:
    plan = planned(version=version, max_model_len=length)
    assert plan.verdict == verdict
    assert verdict == "fits" or str(length) in plan.reason


@pytest.mark.parametrize(
    ("trusted", "auto_map", "verdict"),
    [(True, True, "unknown"), (False, True, "does-not-fit"), (True, False, "does-not-fit")],
)
def test_a_class_that_the_repository_brings(trusted: bool, auto_map: bool, verdict: str) -> None:
    known, card = find_architecture(LLAMA), gpu_by_id("nvidia-l4")
    assert known is not None
    assert card is not None
    fields = {**known.fields, "architectures": ["OurForCausalLM"], "model_type": "ours"}
    published = {"has_auto_map": True} if auto_map else {}
    own = ModelArchitecture("org/ours", fields, published=published)
    plan = plan_memory(EngineRequest(release("0.33.0"), own, card, {"trust_remote_code": trusted}, {}))
    assert plan.verdict == verdict
    assert "OurForCausalLM" in plan.reason


def test_offloaded_weights_leave_the_gpu() -> None:
    whole, less = planned(), planned(cpu_offload_gb=4)
    weights = [plan.stages[0].part("weights").mid for plan in (whole, less)]
    assert weights[0] - weights[1] == pytest.approx(4, abs=0.1)
    left = [plan.stages[0].available_gib.mid for plan in (whole, less)]
    assert left[1] - left[0] == pytest.approx(4, abs=0.1)


def test_a_length_that_vllm_chooses() -> None:
    plan = planned(gpu="nvidia-l4", max_model_len=-1)
    assert plan.verdict == "fits"
    assert plan.kv is not None
    low, _, high = plan.kv
    assert low.shortened
    assert 4096 < low.max_model_len < high.max_model_len < 131_072
    assert "shortens max_model_len" in plan.reason
    assert planned(gpu="nvidia-l4").verdict == "does-not-fit"
    kept = planned(max_model_len=-1)
    assert kept.kv is not None
    assert {one.max_model_len for one in kept.kv} == {131_072}


def test_the_longest_length_that_fits_does_fit() -> None:
    # a shorter length has smaller block tables too, so that a few blocks more may fit
    plan = planned(gpu="nvidia-l4")
    careful = plan.careful()
    assert careful is not None
    assert careful.longest is not None
    assert planned(gpu="nvidia-l4", max_model_len=careful.longest).verdict == "fits"
    assert planned(gpu="nvidia-l4", max_model_len=careful.longest + 512).verdict != "fits"


def test_too_large_a_share_of_the_gpu() -> None:
    plan = planned(gpu="nvidia-l4", gpu_memory_utilization=0.995, max_model_len=4096)
    assert plan.verdict == "does-not-fit"
    assert plan.refusal is not None
    assert plan.refusal.settings == ("gpu_memory_utilization",)
    assert plan.stages


def test_the_stages_of_a_pipeline() -> None:
    plan = planned("meta-llama/Llama-3.1-70B-Instruct", tensor_parallel_size=2, pipeline_parallel_size=4)
    assert len(plan.stages) == 4
    assert plan.stages[plan.tightest].available_gib.mid == min(
        stage.available_gib.mid for stage in plan.stages
    )
    names = [{term.name for term in stage.terms["weights"]} for stage in plan.stages]
    assert any("embedding" in name for name in names[0])
    assert not any("embedding" in name for name in names[1])


def test_a_model_whose_caches_are_not_known() -> None:
    plan = planned("meta-llama/Llama-3.2-11B-Vision-Instruct", gpu="nvidia-h200-141gb-sxm")
    assert plan.verdict == "unknown"
    assert "not known" in plan.reason
