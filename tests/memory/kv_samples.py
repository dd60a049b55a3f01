"""Resolved configurations for the tests of the KV cache plans."""

from __future__ import annotations

from typing import Any

from vllmlint.engine.config import AUTO_MAX_MODEL_LEN, EngineConfig, EngineRequest
from vllmlint.hardware.gpu import Gpu
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import find_architecture
from vllmlint.serving.release import Release

GIB = 1024**3
H100 = Gpu("h100", "NVIDIA H100 80GB HBM3", "nvidia", 79.19, (9, 0))
GPUS = {
    "h100": H100,
    "a100": Gpu("a100", "NVIDIA A100-SXM4-80GB", "nvidia", 79.25, (8, 0)),
    "l40s": Gpu("l40s", "NVIDIA L40S", "nvidia", 44.4, (8, 9)),
    "b200": Gpu("b200", "NVIDIA B200", "nvidia", 178.35, (10, 0)),
}


def model(model_id: str) -> ModelArchitecture:
    """The language part of a model of the catalogue, without what it says of quantisation."""
    found = find_architecture(model_id)
    assert found is not None, model_id
    fields = {name: value for name, value in found.fields.items() if "quant" not in name}
    name = found.class_name.replace("ForConditionalGeneration", "ForCausalLM")
    return ModelArchitecture(model_id, {**fields, "architectures": [name]})


def dense(**changes: Any) -> ModelArchitecture:
    """A small dense model with grouped-query attention."""
    fields = {
        "architectures": ["LlamaForCausalLM"],
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 131072,
    }
    return ModelArchitecture("test/dense", {**fields, **changes})


def engine(
    architecture: ModelArchitecture,
    release: str = "0.33.0",
    *,
    gpu: Gpu = H100,
    max_model_len: int = 131072,
    max_num_batched_tokens: int = 8192,
    tp: int = 1,
    pp: int = 1,
    dcp: int = 1,
    kv_cache_dtype: str = "auto",
    block_size: int | None = None,
    prefix_caching: bool = True,
    mamba_cache_mode: str = "none",
    num_speculative_tokens: int = 0,
    settings: dict[str, Any] | None = None,
    env: dict[str, str] | None = None,
    model_runner: str | None = None,
    disable_hybrid_kv_cache_manager: bool = False,
    is_hybrid: bool = False,
    mamba_ssm_cache_dtype: str = "auto",
    other: dict[str, Any] | None = None,
) -> EngineConfig:
    """A configuration as it is resolved for a server with nothing else set."""
    parsed = Release.parse(release)
    assert parsed is not None
    derived = architecture.integer("max_position_embeddings") or 131072
    request = EngineRequest(parsed, architecture, gpu, settings or {}, env or {})
    runner: Any = model_runner or ("v2" if parsed.at_least("0.29.0") else "v1")
    return EngineConfig(
        request=request,
        model_runner=runner,
        runner_type="generate",
        dtype="bfloat16",
        quantization=None,
        kv_cache_dtype=kv_cache_dtype,
        max_model_len=derived if max_model_len == AUTO_MAX_MODEL_LEN else max_model_len,
        derived_max_model_len=derived,
        max_num_batched_tokens=max_num_batched_tokens,
        max_num_seqs=256,
        enable_chunked_prefill=True,
        enable_prefix_caching=prefix_caching,
        async_scheduling=parsed.at_least("0.14.0"),
        gpu_memory_utilization=0.9,
        tensor_parallel_size=tp,
        pipeline_parallel_size=pp,
        data_parallel_size=1,
        decode_context_parallel_size=dcp,
        prefill_context_parallel_size=1,
        enable_expert_parallel=False,
        enforce_eager=False,
        cudagraph_mode="FULL_AND_PIECEWISE",
        max_cudagraph_capture_size=512,
        user_block_size=block_size,
        mamba_cache_mode=mamba_cache_mode,
        num_speculative_tokens=num_speculative_tokens,
        other=other or {},
        auto_max_model_len=max_model_len == AUTO_MAX_MODEL_LEN,
        disable_hybrid_kv_cache_manager=disable_hybrid_kv_cache_manager,
        is_hybrid=is_hybrid,
        mamba_ssm_cache_dtype=mamba_ssm_cache_dtype,
    )
