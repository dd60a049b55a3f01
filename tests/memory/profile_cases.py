"""Engine configurations for tests of the memory profile, written out field by field."""

from __future__ import annotations

from typing import Any

from vllmlint.engine.config import EngineConfig, EngineRequest
from vllmlint.hardware.gpu import Gpu
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.serving.release import Release

H100 = Gpu("h100", "NVIDIA H100 80GB HBM3", "nvidia", 79.19, (9, 0), sm_count=132)
A100 = Gpu("a100", "NVIDIA A100-SXM4-80GB", "nvidia", 79.25, (8, 0), sm_count=108)
L4 = Gpu("l4", "NVIDIA L4", "nvidia", 22.03, (8, 9), sm_count=58)

LLAMA_8B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
QWEN3_30B = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "vocab_size": 151936,
}
GEMMA_27B = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "model_type": "gemma3",
    "hidden_size": 5376,
    "intermediate_size": 21504,
    "num_hidden_layers": 62,
    "num_attention_heads": 32,
    "num_key_value_heads": 16,
    "head_dim": 128,
    "vocab_size": 262208,
    "vision_config": {
        "model_type": "siglip_vision_model",
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "patch_size": 14,
        "image_size": 896,
    },
}


def release(text: str) -> Release:
    """A release by its version."""
    found = Release.parse(text)
    assert found is not None
    return found


def config(  # a value for every field that the profile reads
    fields: dict[str, Any],
    version: str = "0.33.0",
    *,
    gpu: Gpu = H100,
    settings: dict[str, Any] | None = None,
    env: dict[str, str] | None = None,
    **changes: Any,
) -> EngineConfig:
    """A resolved engine: 8192 batched tokens, 1024 requests, 8192 tokens of length unless changed."""
    request = EngineRequest(
        release(version), ModelArchitecture("test/model", fields), gpu, settings or {}, env or {}
    )
    values: dict[str, Any] = {
        "request": request,
        "model_runner": "v1",
        "runner_type": "generate",
        "dtype": "bfloat16",
        "quantization": None,
        "kv_cache_dtype": "auto",
        "max_model_len": 8192,
        "derived_max_model_len": 8192,
        "max_num_batched_tokens": 8192,
        "max_num_seqs": 1024,
        "enable_chunked_prefill": True,
        "enable_prefix_caching": True,
        "async_scheduling": True,
        "gpu_memory_utilization": 0.9,
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
    return EngineConfig(**{**values, **changes})
