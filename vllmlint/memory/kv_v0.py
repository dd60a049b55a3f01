"""The KV cache of the V0 engine, up to 0.10: one pool, every attention layer in full (vllm-memory.md 3.3).

vLLM 0.6.3 and 0.8.5: `worker/worker.py`, `worker/cache_engine.py`. States of hybrid models are kept beside
the pool, one a request, and are not counted here.
"""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.kv_dtype import cache_dtype, head_bytes, latent_bytes
from vllmlint.memory.kv_groups import Specs
from vllmlint.memory.kv_spec import CacheSpec
from vllmlint.memory.kv_specs import CachePlan
from vllmlint.models.layers import CacheLayer, UnknownLayers

#: Latent attention keeps latents since 0.7; before, it kept padded keys and values of every head.
LATENT_SINCE = "0.7.0"
#: Tokens a block holds, and with FlashMLA (0.8 on, Hopper).
BLOCK_SIZE, LATENT_BLOCK_SIZE = 16, 64
#: From this release a pipeline stage's scheduler owns its share of the blocks (0.8.5 `worker.py`).
SHARES_SINCE = "0.8.0"


def v0_plan(config: EngineConfig, layers: tuple[CacheLayer, ...]) -> CachePlan | UnknownLayers:
    """The caches of the attention layers, all of them full, in blocks of one size."""
    if config.architecture.is_mla and not config.release.at_least(LATENT_SINCE):
        return UnknownLayers("before 0.7 latent attention keeps keys and values in a width of its own")
    size = _block_size(config)
    specs: Specs = {}
    made: dict[object, CacheSpec] = {}
    for at, layer in enumerate(layers):
        if layer.kind in ("state", "indexer"):
            continue
        if layer.shape not in made:
            made[layer.shape] = CacheSpec(
                "MLAAttention" if layer.kind == "mla" else "FullAttention", size, _token_bytes(config, layer)
            )
        specs[at] = made[layer.shape]
    return CachePlan(specs, size, ())


def stage_shares(config: EngineConfig) -> int:
    """Among how many the blocks of a stage are divided before one request must fit."""
    return config.pipeline_parallel_size if config.release.at_least(SHARES_SINCE) else 1


def _block_size(config: EngineConfig) -> int:
    hopper = config.gpu.compute_capability is not None and config.gpu.compute_capability[0] == 9
    if config.architecture.is_mla and hopper and config.release.at_least(SHARES_SINCE):
        return LATENT_BLOCK_SIZE
    return config.user_block_size or BLOCK_SIZE


def _token_bytes(config: EngineConfig, layer: CacheLayer) -> int:
    """What one token takes in a layer on one rank."""
    dtype = cache_dtype(config)
    if layer.kind == "mla":
        return latent_bytes(layer.head_size, dtype, config.dtype)
    heads = max(1, layer.num_kv_heads // config.tensor_parallel_size)
    return heads * head_bytes(layer.head_size, layer.head_size_v, dtype, config.dtype)
