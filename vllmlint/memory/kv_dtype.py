"""How many bytes a stored token takes, by cache dtype (vllm-memory.md 3.1)."""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.models.quantization import quantization_of

#: Bytes of one element, by vLLM's name of a dtype.
DTYPE_BYTES = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2}
#: Bytes of one token in FlashMLA's packed layouts: latent, rope part and scales (0.33.0 `mla_attention.py`).
PACKED_LATENT_BYTES = {"fp8_ds_mla": 656, "nvfp4_ds_mla": 352}
#: DeepSeek-V4: 448 B without rope, 128 B with, 8 B of scales (0.33.0 `models/deepseek_v4/attention.py`).
V4_PACKED_BYTES = 584
#: A sparse indexer quantises its keys in runs of this many elements, each with a float32 scale.
INDEXER_RUN = 128
#: An nvfp4 block of 16 elements has one byte of scale beside its 8 bytes of data.
NVFP4_BLOCK = 16
#: Per-token-head modes keep one float32 scale for the keys and one for the values of each head.
SCALE_BYTES_PER_HEAD = 8


def element_bytes(dtype: str) -> int:
    """Bytes of one element of a plain dtype; 2 where the name is not known."""
    return DTYPE_BYTES.get(dtype.removeprefix("torch."), 2)


def cache_dtype(config: EngineConfig) -> str:
    """The dtype that layers store in, where it is not the one that was resolved."""
    architecture, release = config.architecture, config.release
    dtype = config.kv_cache_dtype
    if architecture.class_name.startswith("MiMoV2") and not release.at_least("0.32.0"):
        # The model class does not hand the cache configuration on.
        return "auto"
    if dtype == "auto" and _declares_fp8(config):
        return "fp8"
    sparse = architecture.is_mla and architecture.integer("index_topk") is not None
    if sparse and dtype.startswith("fp8") and not release.at_least("0.18.0"):
        return "fp8_ds_mla"
    return dtype


def _declares_fp8(config: EngineConfig) -> bool:
    """Whether a compressed-tensors checkpoint asks for an fp8 cache (`Attention.__init__`, 0.11 on)."""
    if not config.release.at_least("0.11.0"):
        return False
    checkpoint = quantization_of(config.architecture)
    return (
        checkpoint is not None
        and checkpoint.method == "compressed-tensors"
        and checkpoint.kv_cache_dtype == "fp8"
    )


def head_bytes(key_width: int, value_width: int, dtype: str, model_dtype: str) -> int:
    """Bytes of one token of one KV head: keys, values and scales."""
    width = key_width + value_width
    if dtype == "int4_per_token_head":
        return key_width // 2 + value_width // 2 + SCALE_BYTES_PER_HEAD
    if dtype.endswith("_per_token_head"):
        return width + SCALE_BYTES_PER_HEAD
    if dtype.startswith("nvfp4"):
        return width // 2 + width // NVFP4_BLOCK
    if dtype.startswith("fp8"):
        return width
    return width * element_bytes(model_dtype if dtype == "auto" else dtype)


def latent_bytes(width: int, dtype: str, model_dtype: str) -> int:
    """Bytes of one token of a latent cache."""
    packed = PACKED_LATENT_BYTES.get(dtype)
    if packed is not None:
        return packed
    if dtype.startswith("fp8"):
        return width
    return width * element_bytes(model_dtype if dtype == "auto" else dtype)


def indexer_bytes(width: int) -> int:
    """Bytes of one token of a sparse indexer's keys: fp8 with a float32 scale a run."""
    return width + width // INDEXER_RUN * 4
