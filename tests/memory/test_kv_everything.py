"""Models and settings drawn at random: a plan, a refusal or a reason, never a crash."""

from __future__ import annotations

import random
from typing import Any

import pytest
from kv_samples import GIB, GPUS

from vllmlint.engine.config import EngineConfig, EngineRequest, Refusal
from vllmlint.engine.resolve import resolve
from vllmlint.memory.kv_plan import KvPlan, KvRefusal, plan_kv
from vllmlint.models.catalogue import catalogue_ids, find_architecture
from vllmlint.models.layers import UnknownLayers
from vllmlint.serving.release import Release

RELEASES = ("0.6.3", "0.8.5", "0.10.2", "0.11.2", "0.14.1", "0.18.0", "0.20.2", "0.26.0", "0.29.0", "0.33.0")
CHOICES: dict[str, tuple[Any, ...]] = {
    "tensor_parallel_size": (1, 2, 4, 8),
    "pipeline_parallel_size": (1, 1, 2, 3),
    "kv_cache_dtype": ("auto", "auto", "fp8", "fp8_e5m2", "nvfp4", "int8_per_token_head"),
    "block_size": (None, None, 16, 64, 128, 256),
    "max_model_len": (None, 1024, 4096, -1),
    "disable_hybrid_kv_cache_manager": (None, None, None, True),
    "num_gpu_blocks_override": (None, None, None, 100),
    "speculative_config": (None, None, {"method": "mtp"}, {"method": "ngram", "num_speculative_tokens": 2}),
}


def drawn(seed: int) -> list[EngineRequest]:
    """Requests of one seed."""
    pick = random.Random(seed)
    requests = []
    for _ in range(60):
        given = {name: pick.choice(values) for name, values in CHOICES.items()}
        architecture = find_architecture(pick.choice(catalogue_ids()))
        release = Release.parse(pick.choice(RELEASES))
        assert architecture is not None
        assert release is not None
        settings = {name: value for name, value in given.items() if value is not None}
        requests.append(EngineRequest(release, architecture, GPUS[pick.choice(sorted(GPUS))], settings, {}))
    return requests


@pytest.mark.parametrize("seed", range(6))
def test_no_request_breaks_the_plan(seed: int) -> None:
    """What is planned adds up, what is refused says why."""
    planned = 0
    for request in drawn(seed):
        config = resolve(request)
        if not isinstance(config, EngineConfig):
            continue
        for available in (0, GIB, 60 * GIB):
            answer = plan_kv(config, available)
            if isinstance(answer, KvPlan):
                planned += 1
                check_plan(answer, config, available)
            elif isinstance(answer, KvRefusal):
                assert answer.message
                assert answer.stage == "kv"
            else:
                assert isinstance(answer, Refusal | UnknownLayers)
    assert planned > 20


def check_plan(plan: KvPlan, config: EngineConfig, available: int) -> None:
    """Blocks fit the memory, groups their pages, tokens their concurrency."""
    override = "num_gpu_blocks_override" in config.request.settings
    assert override or plan.num_blocks * plan.bytes_per_block <= available or not plan.groups
    assert all(group.layers > 0 and group.block_size > 0 and group.page_bytes > 0 for group in plan.groups)
    assert plan.max_model_len <= config.max_model_len
    if config.release.at_least("0.20.2") and plan.groups:
        assert plan.kv_tokens == int(plan.max_concurrency * plan.max_model_len)
        assert plan.max_concurrency >= 1 or override
