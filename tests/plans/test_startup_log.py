"""Start-up logs of every generation of vLLM, in the shapes its own source prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vllmlint.plans.startup_log import StartupLog, read_startup_log
from vllmlint.plans.startup_log_rows import ROW_KEYS, calibration_row, row_text

LOGS = Path(__file__).parent / "data" / "logs"
V0_0_6_4 = (LOGS / "v0-0.6.4.log").read_text("utf-8")
V0_0_7_TWO_RANKS = (LOGS / "v0-0.7.2-two-ranks.log").read_text("utf-8")
V1_0_11 = (LOGS / "v1-0.11.0-two-ranks.log").read_text("utf-8")
V1_0_31 = (LOGS / "v1-0.31.0.log").read_text("utf-8")
KV_TOO_SMALL = (LOGS / "v1-kv-too-small.log").read_text("utf-8")


def test_v0_profile_of_0_6_4() -> None:
    log = read_startup_log(V0_0_6_4)
    assert (str(log.release), log.engine, log.model) == ("0.6.4.post1", "v0", "org/model-7b")
    assert (log.total_gib, log.utilization) == (44.52, 0.9)
    assert (log.weights_gib, log.non_torch_gib, log.kv_gib) == (14.2487, 0.45, 23.97)
    assert log.activation_gib == pytest.approx(15.65 - 14.2487, abs=1e-3)
    assert (log.gpu_blocks, log.max_concurrency, log.concurrency_length) == (28053, 109.58, 4096)
    assert log.graph_gib == 0.21
    assert log.settings == {
        "model": "org/model-7b",
        "max_model_len": 4096,
        "tensor_parallel_size": 1,
        "gpu_memory_utilization": 0.9,
        "max_num_seqs": 256,
    }
    assert log.resolved["dtype"] == "bfloat16"
    assert log.failure is None


def test_v0_worker_with_the_least_cache_decides() -> None:
    log = read_startup_log(V0_0_7_TWO_RANKS)
    assert (log.kv_gib, log.activation_gib, log.gpu_blocks) == (7.46, 1.42, 5096)
    assert log.resolved["tensor_parallel_size"] == 2
    assert log.failure is not None
    assert (log.failure.kind, log.failure.max_model_len) == ("kv-too-small", 131072)
    assert log.failure.estimated_max_model_len == 81536
    assert log.failure.needed_gib is None


def test_v1_usage_line_of_0_11() -> None:
    log = read_startup_log(V1_0_11)
    assert (str(log.release), log.engine) == ("0.11.0", "v1")
    assert (log.weights_gib, log.activation_gib, log.non_torch_gib) == (28.4671, 5.57, 0.55)
    assert (log.kv_gib, log.kv_tokens, log.max_concurrency) == (36.01, 786432, 49.15)
    assert log.graph_gib == -0.42
    assert (log.free_gib, log.total_gib) == (77.64, 79.18)
    assert log.attention_backend == "FLASH_ATTN"
    assert log.settings["max_model_len"] == 16000
    assert log.settings["tensor_parallel_size"] == 2
    assert log.settings["block_size"] == 128
    assert "port" not in log.settings
    assert log.settings["limit_mm_per_prompt"] == {"image": 0}
    assert log.settings["compilation_config"] == {"cudagraph_mode": "CUDAGraphMode.PIECEWISE: 1"}
    assert log.resolved["quantization"] == "fp8"


def test_v1_consumed_line_of_0_31() -> None:
    log = read_startup_log(V1_0_31)
    assert (str(log.release), log.model, log.settings) == (
        "0.31.0",
        "org/dense-8b",
        {"model": "org/dense-8b"},
    )
    assert (log.weights_gib, log.consumed_gib, log.activation_gib) == (15.0, 15.26, 1.44)
    assert (log.kv_tokens, log.max_concurrency, log.concurrency_length) == (460496, 3.51, 131072)
    assert (log.utilization, log.total_gib, log.graph_gib) == (0.92, 79.25, 0.23)
    assert log.resolved["max_num_batched_tokens"] == 2048
    assert log.non_torch_gib is None


def test_arguments_that_are_cut_off() -> None:
    """Some collectors cut long lines: what is whole is kept, inner brackets are not mistaken for it."""
    text = "non-default args: {'model': 'org/m', 'limit_mm_per_prompt': {'image': 2}, "
    text += "'max_model_len': 4096, 'ser"
    assert read_startup_log(text).settings == {"model": "org/m", "max_model_len": 4096}


def test_failure_with_its_numbers() -> None:
    failure = read_startup_log(KV_TOO_SMALL).failure
    assert failure is not None
    assert (failure.kind, failure.stage) == ("kv-too-small", "kv")
    assert (failure.needed_gib, failure.available_gib, failure.estimated_max_model_len) == (
        18.35,
        8.72,
        121840,
    )


@pytest.mark.parametrize(
    ("line", "kind", "stage"),
    [
        ("ValueError: No available memory for the cache blocks. Try increasing", "no-kv-memory", "kv"),
        (
            "ValueError: Free memory on device cuda:0 (13.58/15.99 GiB) on startup is less than desired GPU "
            "memory utilization (0.9, 14.39 GiB). Decrease GPU memory utilization",
            "free-memory",
            "init",
        ),
        (
            "Starting to load model x/y...\ntorch.OutOfMemoryError: CUDA out of memory. "
            "Tried to allocate 3.50 GiB. GPU 0 has a total capacity of 79.18 GiB of which 3.33 GiB is free.",
            "out-of-memory",
            "load",
        ),
        (
            "Model loading took 23.10 GiB memory and 3.0 seconds\ntorch.OutOfMemoryError: "
            "CUDA out of memory. Tried to allocate 784.00 MiB.",
            "out-of-memory",
            "profile",
        ),
        (
            "GPU KV cache size: 98,752 tokens\nRuntimeError: CUDA error: out of memory",
            "out-of-memory",
            "graphs",
        ),
        (
            "Model loading took 23.10 GiB memory and 3.0 seconds\nProfiling CUDA graph memory: PIECEWISE=16 "
            "(largest=16)\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 784.00 MiB.",
            "out-of-memory",
            "graphs",
        ),
    ],
)
def test_failures_and_their_stage(line: str, kind: str, stage: str) -> None:
    failure = read_startup_log(line).failure
    assert failure is not None
    assert (failure.kind, failure.stage) == (kind, stage)


def test_graph_pool_line_of_0_19() -> None:
    log = read_startup_log(
        "CUDA graph pool memory: 0.91 GiB (actual), 0.84 GiB (estimated), difference: 0.07 GiB (7.7%)."
    )
    assert (log.graph_gib, log.graph_estimate_gib) == (0.91, 0.84)


def test_cache_in_bytes_of_0_11_0() -> None:
    log = read_startup_log(
        "Desired GPU memory utilization is (0.9, 125.83 GiB). Actual usage is 74.28 GiB for weight, 5.58 GiB "
        "for peak activation, 1.38 GiB for non-torch memory, and 2.37 GiB for CUDAGraph memory. "
        "Current kv cache memory in use is 47878721024 bytes."
    )
    assert log.kv_gib == pytest.approx(44.59, abs=0.01)
    assert (log.weights_gib, log.non_torch_gib) == (74.28, 1.38)


def test_usage_line_is_no_failure() -> None:
    """The usage line begins like the refusal: "Free memory on device (…) on startup."."""
    assert read_startup_log(V1_0_31).failure is None


def test_last_start_of_a_log_counts() -> None:
    log = read_startup_log(KV_TOO_SMALL + V1_0_31)
    assert log.failure is None
    assert log.kv_gib == 56.21


def test_colours_and_container_prefixes() -> None:
    prefix = "2026-10-06T12:00:00Z stdout F \x1b[1;36m(EngineCore pid=7)\x1b[0;0m INFO [gpu_worker.py:1] "
    assert read_startup_log(prefix + "Available \x1b[0mKV cache memory: 1.50 GiB").kv_gib == 1.5


def test_something_else_is_not_recognised() -> None:
    assert not read_startup_log("hello\nworld\n").recognised
    assert read_startup_log("hello").kv_tokens is None


def test_row_of_a_success_and_of_a_failure() -> None:
    row = calibration_row(
        read_startup_log(V1_0_31), gpu="A100-80GB", row_id="m1", source="own log", source_date="2026-10-06"
    )
    assert tuple(row) == ROW_KEYS
    assert (row["tp"], row["gpu_mem_gib"], row["max_model_len"]) == (1, 79.25, 131072)
    assert row["non_torch_gib"] == pytest.approx(0.26)
    assert any("consumed" in reason for reason in row["inferred"])
    assert row["failed"] is False
    failed = calibration_row(read_startup_log(KV_TOO_SMALL), gpu="L4", row_id="m2", source="", source_date="")
    assert failed["failed"] is True
    assert "18.35 GiB" in failed["failure"]
    assert json.loads(row_text(failed))["kv_tokens"] is None
    assert row_text(row).endswith("\n")


def test_row_keeps_the_flags_that_have_no_key() -> None:
    row = calibration_row(read_startup_log(V1_0_11), gpu="H100", row_id="m3", source="", source_date="")
    assert "limit_mm_per_prompt={'image': 0}" in row["other_flags"]
    assert (row["tp"], row["gpus_total"]) == (2, 2)
    assert "max_model_len" not in row["other_flags"]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300), st.sampled_from([V0_0_6_4, V0_0_7_TWO_RANKS, V1_0_11, V1_0_31, KV_TOO_SMALL]))
def test_cut_and_dirty_logs_never_raise(noise: str, log: str) -> None:
    read = read_startup_log(log[: len(noise) * 7] + noise + log[len(noise) * 3 :])
    assert isinstance(read, StartupLog)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.floats(0, 1e5))
def test_tokens_and_concurrency_survive_the_way_through(tokens: int, concurrency: float) -> None:
    text = f"GPU KV cache size: {tokens:,} tokens\n"
    text += f"Maximum concurrency for 8,192 tokens per request: {concurrency:.2f}x"
    log = read_startup_log(text)
    assert log.kv_tokens == tokens
    assert log.max_concurrency == pytest.approx(concurrency, abs=0.006)
