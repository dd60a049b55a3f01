"""A KV cache of a given size: vLLM allocates it whether or not the GPU has room.

`--kv-cache-memory-bytes` skips the profile and does not respect gpu_memory_utilization (0.33.0,
`v1/worker/gpu_worker.py`, `determine_available_memory`); `--num-gpu-blocks-override` replaces the block count
after it (`v1/core/kv_cache_planning.py`, `may_override_num_blocks`). Nothing compares either with the GPU, so
what does not fit ends in CUDA's own out-of-memory error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vllmlint.engine.config import EngineConfig, Refusal
from vllmlint.memory.band import Band, total
from vllmlint.memory.start_check import StartDoubt
from vllmlint.memory.total import total_memory

if TYPE_CHECKING:
    from vllmlint.memory.plan import StageMemory

GIB = 1 << 30
_BYTES, _BLOCKS = "kv_cache_memory_bytes", "num_gpu_blocks_override"
NO_DOUBT = StartDoubt(None, None)


def given_cache_gib(config: EngineConfig, stages: int) -> list[float] | None:
    """What the cache takes on each pipeline stage, GiB; None where the profile decides."""
    settings = config.request.settings
    if isinstance(settings.get(_BLOCKS), int):
        from vllmlint.memory.kv_plan import overridden_bytes

        amounts = overridden_bytes(config)
        return None if amounts is None else [amount / GIB for amount in amounts]
    given = settings.get(_BYTES)
    return [given / GIB] * stages if isinstance(given, int) and given > 0 else None


def given_cache_check(
    config: EngineConfig, stage: StageMemory, outside: Band, cache_gib: float
) -> StartDoubt:
    """Whether the cache has room on the whole GPU beside what a rank holds.

    At allocation that is the weights, the buffers that stay and what is `outside` every budget (CUDA
    context, NCCL); the activations of the profile are free again by then, and come back with the first
    full batch, so that a sum with them that exceeds the GPU makes a doubt, not a certain end.
    """
    # graphs are captured after the cache is allocated, and may be small: not part of the certain sum
    held = total((stage.part("weights"), stage.part("buffers"), stage.part("non_torch")))
    served = total((held, stage.part("activation"), stage.part("cuda_graph")))
    gpu = total_memory(config.gpu)
    certain = _refused(config, cache_gib, held.low, gpu.high)
    # by the middle of what is outside, as where the budget is held against the GPU
    possible = _refused(config, cache_gib, served.high + outside.mid, gpu.low)
    return StartDoubt(certain, possible)


def _refused(config: EngineConfig, cache_gib: float, rest_gib: float, gpu_gib: float) -> Refusal | None:
    if cache_gib + rest_gib <= gpu_gib:
        return None
    name = _BLOCKS if isinstance(config.request.settings.get(_BLOCKS), int) else _BYTES
    message = (
        f"CUDA out of memory: {name} makes a KV cache of {cache_gib:.2f} GiB, whatever is free, and the rest "
        f"of the server takes {rest_gib:.2f}, together more than the {gpu_gib:.2f} of the GPU"
    )
    return Refusal("given-cache-exceeds-gpu", message, "device", (name,))
