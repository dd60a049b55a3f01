"""The KV cache dtype as the configuration resolves it (`resolve_kv_cache_dtype_string` and model hooks)."""

from __future__ import annotations

from vllmlint.engine.errors import RefusedError
from vllmlint.engine.given import Given
from vllmlint.engine.model_class import ModelClass
from vllmlint.models.quantization import CheckpointQuantization

#: What ModelOpt's names for a KV cache format mean to vLLM (`MODELOPT_TO_VLLM_KV_CACHE_DTYPE_MAP`).
_MODELOPT = {"fp8": "fp8_e4m3", "nvfp4": "nvfp4"}
_FLOATS = ("float16", "bfloat16")


def resolve_cache_dtype(given: Given, checkpoint: CheckpointQuantization | None) -> str:
    """As asked; `auto` becomes what a ModelOpt checkpoint declares (0.14.0 on)."""
    asked = given.text("kv_cache_dtype") or "auto"
    if asked != "auto" or checkpoint is None or not given.since("0.14.0"):
        return asked
    if not checkpoint.method.startswith("modelopt") or checkpoint.kv_cache_dtype is None:
        return asked
    return _MODELOPT.get(checkpoint.kv_cache_dtype, "auto")


def hooked_cache_dtype(given: Given, model: ModelClass, dtype: str) -> str:
    """What the model's own hook makes of it (`vllm/model_executor/models/config.py`, 0.33.0)."""
    capability = given.gpu.compute_capability
    blackwell = capability is not None and capability[0] == 10
    if model.name == "DeepseekV32ForCausalLM" and given.since("0.11.0"):
        if dtype == "bfloat16":
            return "auto"
        if dtype.startswith("fp8") and not given.since("0.18.0"):
            return "fp8_ds_mla"
    if model.name == "GlmMoeDsaForCausalLM" and dtype == "auto" and blackwell and given.since("0.32.0"):
        return "fp8_e4m3"
    if (
        model.name.startswith("Glm5Next")
        and dtype == "auto"
        and blackwell
        and given.architecture.get("index_topk") is not None
    ):
        return "fp8"
    return dtype


def check_cache_dtype(given: Given, cache_dtype: str, dtype: str) -> None:
    """float16 or bfloat16 that is not the model's dtype is refused (0.33.0)."""
    if cache_dtype in _FLOATS and cache_dtype != dtype and given.since("0.33.0"):
        raise RefusedError(
            "kv-cache-dtype-not-model-dtype",
            f'kv_cache_dtype="{cache_dtype}" is incompatible with dtype="{dtype}". Please set '
            "`--kv-cache-dtype` to `auto`.",
            "kv_cache_dtype",
            "dtype",
        )


def check_nvfp4_mla(given: Given, cache_dtype: str) -> None:
    """Plain nvfp4 has no layout for latent attention (`validate_nvfp4_kv_cache_with_mla`, 0.21.0 on)."""
    plain = cache_dtype.startswith("nvfp4") and not cache_dtype.endswith("_ds_mla")
    if plain and given.architecture.is_mla and given.since("0.21.0"):
        raise RefusedError(
            "nvfp4-kv-cache-with-mla",
            "nvfp4 KV cache is not supported with MLA (Multi-head Latent Attention) backends.",
            "kv_cache_dtype",
        )
