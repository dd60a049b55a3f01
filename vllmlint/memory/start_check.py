"""Memory that a start needs beside its budget: the check of free memory, and what is never charged
(vllm-memory.md 2.1, 2.2)."""

from __future__ import annotations

from collections.abc import Callable

from vllmlint.engine.config import EngineConfig, Refusal
from vllmlint.memory.band import Band
from vllmlint.record import record

#: Since which release vLLM ends when less is free than it is to use (vllm-memory.md 2.2).
_CHECKED_SINCE = "0.9.1"


@record
class StartDoubt:
    """`certain` is what ends the start whatever the band, `possible` what may end it."""

    certain: Refusal | None
    possible: Refusal | None


def start_check(config: EngineConfig, before_profile: Band, outside: Band) -> StartDoubt:
    """Whether a rank's GPU has room for the budget and for what is used beside it, all for itself.

    `before_profile` is what the process itself takes before the free memory is read (CUDA context, NCCL
    since 0.11.0), `outside` all that is never charged to the budget, GiB: it must fit beside the budget
    too, or CUDA runs out of memory later. The check runs even where the size of the cache is given.
    """
    found = StartDoubt(None, None)
    if config.release.at_least(_CHECKED_SINCE):
        found = _doubt(config, before_profile, before_profile.high, _not_free)
    if found.certain is None and "kv_cache_memory_bytes" not in config.request.settings:
        # by the middle: uncharged graphs are known to no better than a factor of two
        beside = _doubt(config, outside, outside.mid, _out_of_memory)
        found = StartDoubt(beside.certain, found.possible or beside.possible)
    return found


def _doubt(
    config: EngineConfig, taken: Band, doubtful_gib: float, refusal: Callable[[EngineConfig, float], Refusal]
) -> StartDoubt:
    total_gib = config.gpu.memory_gib
    if total_gib is None:
        return StartDoubt(None, None)
    left = total_gib - config.gpu_memory_utilization * total_gib
    certain = refusal(config, taken.low) if taken.low > left else None
    possible = refusal(config, doubtful_gib) if doubtful_gib > left else None
    return StartDoubt(certain, possible)


def _not_free(config: EngineConfig, taken_gib: float) -> Refusal:
    total_gib = config.gpu.memory_gib or 0.0
    utilization = config.gpu_memory_utilization
    message = (
        f"Free memory on device ({total_gib - taken_gib:.2f}/{total_gib:.2f} GiB) on startup is less than"
        f" desired GPU memory utilization ({utilization:g}, {utilization * total_gib:.2f} GiB)"
    )
    return Refusal("free-memory-below-utilization", message, "device", ("gpu_memory_utilization",))


def _out_of_memory(config: EngineConfig, taken_gib: float) -> Refusal:
    left = (1 - config.gpu_memory_utilization) * (config.gpu.memory_gib or 0.0)
    message = (
        f"CUDA out of memory: gpu_memory_utilization {config.gpu_memory_utilization:g} leaves {left:.2f} GiB"
        f" for the CUDA context, NCCL and CUDA graphs, which take {taken_gib:.2f}"
    )
    return Refusal("out-of-memory-beside-budget", message, "device", ("gpu_memory_utilization",))
