"""Engine configurations for tests of the memory room, without the room that resolves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from vllmlint.engine.config import EngineConfig, EngineRequest
from vllmlint.hardware.gpu import Gpu
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import find_architecture
from vllmlint.serving.release import Release

H100 = Gpu("nvidia-h100-80gb-sxm", "NVIDIA H100 80GB HBM3", "nvidia", 79.19, (9, 0), 132)
A100 = Gpu("nvidia-a100-80gb-sxm", "NVIDIA A100-SXM4-80GB", "nvidia", 79.25, (8, 0), 108)


def engine_config(
    model: str | ModelArchitecture,
    *,
    release: str = "0.33.0",
    gpu: Gpu = H100,
    settings: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    dtype: str = "bfloat16",
    quantization: str | None = None,
    tp: int = 1,
    pp: int = 1,
    dp: int = 1,
    ep: bool = False,
    runner_type: Literal["generate", "pooling"] = "generate",
) -> EngineConfig:
    """A configuration of a catalogue model (or a given one) with the sizes that divide weights."""
    architecture = find_architecture(model) if isinstance(model, str) else model
    parsed = Release.parse(release)
    assert architecture is not None, model
    assert parsed is not None, release
    request = EngineRequest(parsed, architecture, gpu, settings or {}, env or {})
    return EngineConfig(
        request=request,
        model_runner="v1",
        runner_type=runner_type,
        dtype=dtype,
        quantization=quantization,
        kv_cache_dtype="auto",
        max_model_len=4096,
        derived_max_model_len=4096,
        max_num_batched_tokens=8192,
        max_num_seqs=256,
        enable_chunked_prefill=True,
        enable_prefix_caching=True,
        async_scheduling=False,
        gpu_memory_utilization=0.9,
        tensor_parallel_size=tp,
        pipeline_parallel_size=pp,
        data_parallel_size=dp,
        decode_context_parallel_size=1,
        prefill_context_parallel_size=1,
        enable_expert_parallel=ep,
        enforce_eager=False,
        cudagraph_mode="FULL_AND_PIECEWISE",
        max_cudagraph_capture_size=512,
        user_block_size=None,
        mamba_cache_mode="none",
        num_speculative_tokens=0,
        other={},
    )
