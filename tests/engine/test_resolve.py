"""What a request resolves to."""

from __future__ import annotations

import pytest
from engine_requests import GPUS, refused, request, resolved
from hypothesis import given
from hypothesis import strategies as st

from vllmlint.engine.config import EngineConfig
from vllmlint.engine.resolve import resolve

LLAMA = "meta-llama/Llama-3.1-8B"
RELEASES = ["0.6.4", "0.7.3", "0.8.5", "0.9.2", "0.10.2", "0.11.2", "0.14.1", "0.20.2", "0.28.0", "0.33.0"]


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_resolves_a_plain_request(release: str) -> None:
    config = resolved(release, LLAMA)
    assert config.max_model_len == 131072
    assert config.dtype == "bfloat16"
    assert config.model_runner == ("v0" if release in ("0.6.4", "0.7.3") else config.model_runner)


def test_the_numbers_of_0_33() -> None:
    config = resolved("0.33.0", LLAMA, "H100")
    assert (config.max_num_batched_tokens, config.max_num_seqs) == (8192, 1024)
    assert (config.enable_chunked_prefill, config.enable_prefix_caching) == (True, True)
    assert (config.async_scheduling, config.model_runner) == (True, "v2")
    assert (config.cudagraph_mode, config.max_cudagraph_capture_size) == ("FULL_AND_PIECEWISE", 512)
    assert config.gpu_memory_utilization == 0.92
    assert config.max_concurrent_batches == 2


def test_auto_length_starts_at_the_derived_one() -> None:
    config = resolved("0.33.0", LLAMA, max_model_len=-1)
    assert config.auto_max_model_len
    assert config.max_model_len == config.derived_max_model_len == 131072


def test_a_length_above_the_models_is_refused_unless_the_variable_allows_it() -> None:
    assert refused("0.33.0", LLAMA, max_model_len=131073).rule == "max-model-len-above-model"
    allowed = resolved("0.33.0", LLAMA, max_model_len=131073, env={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"})
    assert allowed.max_model_len == 131073


def test_the_first_refusal_is_the_one_that_counts() -> None:
    both = refused("0.33.0", LLAMA, max_model_len=200_000, tensor_parallel_size=3)
    assert both.rule == "max-model-len-above-model"
    assert refused("0.33.0", LLAMA, tensor_parallel_size=3).rule == "tp-does-not-divide-heads"


@given(
    release=st.sampled_from(RELEASES),
    gpu=st.sampled_from(sorted(GPUS)),
    length=st.integers(1, 131072),
    seqs=st.none() | st.integers(1, 4096),
    tokens=st.none() | st.integers(1, 65536),
)
def test_what_is_asked_is_kept_or_refused(
    release: str, gpu: str, length: int, seqs: int | None, tokens: int | None
) -> None:
    outcome = resolve(
        request(release, LLAMA, gpu, max_model_len=length, max_num_seqs=seqs, max_num_batched_tokens=tokens)
    )
    if not isinstance(outcome, EngineConfig):
        assert outcome.rule.startswith("batched-tokens-below")
        return
    assert outcome.max_model_len == length
    assert seqs in (None, outcome.max_num_seqs)
    assert tokens in (None, outcome.max_num_batched_tokens)
    assert outcome.max_num_batched_tokens >= outcome.max_num_seqs
    assert outcome.max_cudagraph_capture_size <= max(outcome.max_num_batched_tokens, 8192)
