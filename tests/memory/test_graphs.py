"""CUDA graphs: what is captured, and when the budget pays for it."""

from __future__ import annotations

from typing import Any

import pytest
from profile_cases import LLAMA_8B, QWEN3_30B, config

from vllmlint.memory.dimensions import dimensions
from vllmlint.memory.graphs import capture_sizes, estimate_is_charged, graph_cost, graph_counts

ESTIMATE = "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS"


def test_capture_sizes_of_0_19() -> None:
    """As in the engine's configuration line of 0.19.0: 51 sizes, steps of 8 below 256, then of 16."""
    sizes = capture_sizes(config(LLAMA_8B, "0.19.0"))
    assert len(sizes) == 51
    assert sizes[:5] == (1, 2, 4, 8, 16)
    assert sizes[-3:] == (480, 496, 512)
    assert {248, 272} <= set(sizes)
    assert 264 not in sizes


def test_capture_sizes_before_0_11_1_go_in_eights() -> None:
    """67 sizes to 512 in 0.10 logs."""
    assert len(capture_sizes(config(LLAMA_8B, "0.10.2"))) == 67


def test_full_graphs_stop_at_the_requests() -> None:
    piecewise, full = graph_counts(config(LLAMA_8B, "0.19.0", max_num_seqs=256))
    assert (piecewise, full) == (51, 35)


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ({"enable_lora": True, "max_loras": 1}, (102, 70)),  # "45/70" in a 0.27.1 log that ran out of memory
        ({"enable_lora": True, "max_loras": 64, "specialize_active_lora": True}, (459, 315)),
        ({"max_loras": 64}, (51, 35)),
    ],
)
def test_lora_multiplies_graphs(given: dict[str, Any], counts: tuple[int, int]) -> None:
    assert graph_counts(config(LLAMA_8B, "0.27.1", max_num_seqs=256, settings=given)) == counts


def test_eager_has_none() -> None:
    eager = config(LLAMA_8B, "0.33.0", enforce_eager=True)
    assert graph_counts(eager) == (0, 0)
    assert graph_cost(eager, dimensions(eager)).actual.high == 0


@pytest.mark.parametrize(
    ("version", "env", "charged"),
    [
        ("0.17.1", {ESTIMATE: "1"}, False),
        ("0.18.0", {}, False),
        ("0.18.0", {ESTIMATE: "1"}, True),
        ("0.19.1", {}, False),
        ("0.20.0", {}, True),
        ("0.33.0", {ESTIMATE: "0"}, False),
    ],
)
def test_when_the_budget_pays(version: str, env: dict[str, str], charged: bool) -> None:
    one = config(LLAMA_8B, version, env=env)
    assert estimate_is_charged(one) is charged
    assert (graph_cost(one, dimensions(one)).charged.mid > 0) is charged


@pytest.mark.parametrize(("version", "charged"), [("0.28.0", False), ("0.29.0", True)])
def test_second_runner_estimates_nothing_before_0_29(version: str, charged: bool) -> None:
    one = config(LLAMA_8B, version, model_runner="v2")
    cost = graph_cost(one, dimensions(one))
    assert (cost.charged.mid > 0) is charged
    assert cost.actual.mid > 0


@pytest.mark.parametrize(
    ("fields", "version", "changes", "logged"),
    [
        (LLAMA_8B, "0.17.1", {"max_num_seqs": 256}, 0.50),
        (LLAMA_8B, "0.19.0", {}, 0.91),
        (QWEN3_30B, "0.15.0", {"max_num_seqs": 1024}, 1.04),
        (QWEN3_30B, "0.26.0", {"max_num_seqs": 16, "max_cudagraph_capture_size": 32}, 0.11),
        (LLAMA_8B, "0.31.0", {"max_num_seqs": 256, "model_runner": "v2"}, 0.23),
    ],
)
def test_actual_cost_as_logged(
    fields: dict[str, Any], version: str, changes: dict[str, Any], logged: float
) -> None:
    one = config(fields, version, **changes)
    actual = graph_cost(one, dimensions(one)).actual
    assert actual.low <= logged <= actual.high


def test_expert_models_estimate_has_a_wide_upper_bound() -> None:
    dense, experts = config(LLAMA_8B, "0.26.0"), config(QWEN3_30B, "0.26.0")
    spread = [graph_cost(one, dimensions(one)).charged for one in (dense, experts)]
    assert spread[1].high / spread[1].mid > spread[0].high / spread[0].mid
