"""Servers that are told the same share a plan; those that are told something else never do."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllmlint.engine.config import EngineRequest
from vllmlint.hardware.gpus import gpu_by_id
from vllmlint.memory.plan import MemoryPlan, plan_memory
from vllmlint.memory.plan_cache import PlanCache
from vllmlint.models.catalogue import find_architecture
from vllmlint.serving.release import Release, known_releases


def request_of(
    settings: dict[str, Any],
    env: dict[str, str] | None = None,
    *,
    gpu: str = "nvidia-a100-80gb-sxm",
    version: str | None = None,
) -> EngineRequest:
    """A request for the founding model."""
    architecture, card = find_architecture("meta-llama/Llama-3.1-8B-Instruct"), gpu_by_id(gpu)
    release = Release.parse(version) if version else known_releases()[-1]
    assert architecture is not None
    assert card is not None
    assert release is not None
    return EngineRequest(release, architecture, card, settings, env or {})


class Counted:
    """A planner that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, request: EngineRequest) -> MemoryPlan:
        self.calls += 1
        return plan_memory(request)


def without_request(plan: MemoryPlan) -> MemoryPlan:
    """What a plan says, apart from who asked."""
    return dataclasses.replace(plan, config=None)


def test_arguments_that_a_plan_never_reads_share_it() -> None:
    planner, cache = Counted(), PlanCache()
    first = cache.plan(request_of({"served_model_name": ["a"], "port": 8000}, {"HF_HOME": "/a"}), planner)
    second = cache.plan(request_of({"served_model_name": ["b"]}, {"HF_HOME": "/b"}), planner)
    assert planner.calls == 1
    assert without_request(first) == without_request(second)


def test_the_config_holds_the_request_that_asked() -> None:
    cache = PlanCache()
    for name in ("a", "b"):
        asked = request_of({"swap_space": 4, "served_model_name": [name]})
        plan = cache.plan(asked, plan_memory)
        assert plan.config is not None
        assert plan.config.request is asked


@pytest.mark.parametrize(
    "other",
    [
        request_of({"max_model_len": 4096}),
        request_of({"tensor_parallel_size": 2}),
        request_of({"enforce_eager": True}),
        request_of({}, {"VLLM_ATTENTION_BACKEND": "TRITON_ATTN"}),
        request_of({}, gpu="nvidia-h100-80gb-sxm"),
        request_of({}, version="0.10.2"),
        dataclasses.replace(request_of({}), gpus_per_node=8),
    ],
)
def test_what_a_plan_reads_makes_another(other: EngineRequest) -> None:
    planner, cache = Counted(), PlanCache()
    cache.plan(request_of({}), planner)
    found = cache.plan(other, planner)
    assert planner.calls == 2
    assert found == plan_memory(other)


def test_equal_values_of_another_type_are_told_apart() -> None:
    planner, cache = Counted(), PlanCache()
    cache.plan(request_of({"enable_lora": True}), planner)
    cache.plan(request_of({"enable_lora": 1}), planner)
    assert planner.calls == 2


def test_names_that_a_later_plan_reads_are_asked_of_the_earlier_ones_too() -> None:
    """Whether `max_lora_rank` is read depends on `enable_lora`."""
    cache, planner = PlanCache(), Counted()
    plain = request_of({"max_lora_rank": 16})
    low, high = (request_of({"enable_lora": True, "max_lora_rank": rank}) for rank in (16, 256))
    for _ in range(2):
        for one in (plain, low, high):
            assert cache.plan(one, planner) == plan_memory(one)
    assert planner.calls == 3


def test_the_number_of_plans_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllmlint.memory.plan_cache._AT_MOST", 3)
    cache, planner = PlanCache(), Counted()
    for length in (1024, 2048, 3072, 4096):
        cache.plan(request_of({"max_model_len": length}), planner)
    cache.plan(request_of({"max_model_len": 1024}), planner)
    assert planner.calls == 5


def test_a_planner_that_lists_all_settings_cannot_be_cached() -> None:
    def listing(request: EngineRequest) -> MemoryPlan:
        return MemoryPlan(None, "unknown", str(sorted(request.settings)))

    with pytest.raises(TypeError, match="by name"):
        PlanCache().plan(request_of({}), listing)


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "max_model_len": st.sampled_from([2048, 8192, -1, "auto"]),
        "tensor_parallel_size": st.sampled_from([1, 2, 3]),
        "enable_lora": st.booleans(),
        "max_lora_rank": st.sampled_from([16, 64]),
        "max_num_seqs": st.sampled_from([8, 256]),
        "kv_cache_dtype": st.sampled_from(["auto", "fp8"]),
        "quantization": st.sampled_from(["fp8", "awq"]),
        "speculative_config": st.sampled_from([{"method": "ngram", "num_speculative_tokens": 2}]),
        "port": st.integers(1, 9),
    },
)


@pytest.fixture(scope="module")
def shared() -> PlanCache:
    return PlanCache()


@given(settings=SETTINGS)
def test_a_shared_plan_is_the_plan(shared: PlanCache, settings: dict[str, Any]) -> None:
    asked = request_of(settings)
    assert shared.plan(asked, plan_memory) == plan_memory(asked)
