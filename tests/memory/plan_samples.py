"""Engine configurations and terms made by hand, for the arithmetic that puts a plan together."""

from __future__ import annotations

from typing import Any

from vllmlint.engine.config import EngineConfig, EngineRequest
from vllmlint.hardware.gpu import Gpu
from vllmlint.memory.band import Band, Term
from vllmlint.memory.kv_figures import KvFigures
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.serving.release import Release


def release(text: str) -> Release:
    """A release that surely parses."""
    found = Release.parse(text)
    assert found is not None
    return found


def config_of(version: str = "0.33.0", *, memory_gib: float = 79.25, **changes: Any) -> EngineConfig:
    """A configuration with one GPU of 79.25 GiB, some of it replaced."""
    request = EngineRequest(
        release(version), ModelArchitecture("org/model", {}), Gpu("gpu", "GPU", "nvidia", memory_gib), {}, {}
    )
    usual: dict[str, Any] = {
        "request": request,
        "model_runner": "v2",
        "runner_type": "generate",
        "dtype": "bfloat16",
        "quantization": None,
        "kv_cache_dtype": "auto",
        "max_model_len": 4096,
        "derived_max_model_len": 4096,
        "max_num_batched_tokens": 2048,
        "max_num_seqs": 256,
        "enable_chunked_prefill": True,
        "enable_prefix_caching": True,
        "async_scheduling": True,
        "gpu_memory_utilization": 0.92,
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "data_parallel_size": 1,
        "decode_context_parallel_size": 1,
        "prefill_context_parallel_size": 1,
        "enable_expert_parallel": False,
        "enforce_eager": False,
        "cudagraph_mode": "FULL_AND_PIECEWISE",
        "max_cudagraph_capture_size": 512,
        "user_block_size": None,
        "mamba_cache_mode": "none",
        "num_speculative_tokens": 0,
        "other": {},
    }
    return EngineConfig(**{**usual, **changes})


def term(name: str, low: float, mid: float | None = None, high: float | None = None) -> Term:
    """A term; one number is exact."""
    middle = low if mid is None else mid
    return Term(
        name, Band(low, middle, middle if high is None else high, f"why {name}"), f"formula of {name}"
    )


def figures(
    available: float, *, needed: float | None = 16.0, length: int = 4096, refused: Any = None
) -> KvFigures:
    """A cache of 131,072 bytes a token at an amount of memory."""
    tokens = max(0, int(available * 8192))
    return KvFigures(
        available, refused, tokens // 16, tokens, tokens / length, needed, tokens, 131072, 16, length
    )
