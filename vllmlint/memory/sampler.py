"""Memory that the sampler takes while vLLM profiles itself (vllm-memory.md 2.4).

The dummy sampler pass runs over the logits of every request that may run at once, whole vocabulary on
every rank. How many bytes it needs for one logit depends on the sampler that the release has.
"""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.band import Band
from vllmlint.memory.dimensions import GIB, Dimensions
from vllmlint.record import record
from vllmlint.serving.release import Release


@record
class LogitCost:
    """Bytes that one logit costs at the peak, and why."""

    low: float
    mid: float
    high: float
    reason: str


#: bf16 logits 2, float32 copy 4, full sort: values 4, int64 indices 8, sort scratch 20.
SORT = LogitCost(37.5, 38, 38.5, "top-k/top-p sorts the whole vocabulary")
#: The V1 sampler of 0.8 to 0.10.1 takes FlashInfer where it is installed, else sorts; logs show both.
SORT_OR_FLASHINFER = LogitCost(14, 38, 38.5, "FlashInfer's sampler where it is installed, else a full sort")
#: bf16 logits 2, float32 copy 4, probabilities 4, noise 4.
TRITON = LogitCost(13.5, 14, 15, "top-k/top-p in a Triton or FlashInfer kernel")
#: The second runner's pass without top-k and top-p: logits in the model's dtype, at most one float32 copy.
V2_PLAIN = LogitCost(2, 6, 6, "the profile pass filters nothing")
#: It became a pass with every sampling parameter set between these; read in the sources of 0.26.0 and 0.33.0.
V2_BETWEEN = LogitCost(6, 8, 14, "whether the profile pass filters by top-k/top-p differs by release")
#: bf16 logits 2, float32 copy 4, masked logits and probabilities of the fused sampler up to 8.
V2_FILTERED = LogitCost(6, 10, 14, "penalties and top-k/top-p on a float32 copy")
#: A sampler that is no part of the profile costs nothing there (it may run out of memory later).
NOT_PROFILED = LogitCost(0, 6, 6, "the sampler is not part of the profile")

#: Rows below which the Triton kernel is not used and the sort comes back (0.17+).
_TRITON_MIN_ROWS = 8
#: Streaming multiprocessors assumed where the GPU's count is not known.
_DEFAULT_SM_COUNT = 108
#: Rejection sampling of speculative decoding: two more rows a request, in bf16 and in float32.
_SPECULATIVE_BYTES = 20


def before(release: Release, *numbers: int) -> bool:
    """Whether a release is older than the final one of these numbers."""
    return release.key[: len(numbers)] < numbers


def at_least(release: Release, *numbers: int) -> bool:
    """Whether a release is of these numbers or newer (its pre-releases count as it does)."""
    return not before(release, *numbers)


def logit_cost(config: EngineConfig, rows: int) -> LogitCost:
    """Bytes for one logit at the sampler's peak, by release, runner and environment."""
    release, env = config.release, config.request.env
    if config.model_runner == "v0":
        return SORT
    if config.model_runner == "v2":
        if before(release, 0, 27):
            return V2_PLAIN
        return V2_BETWEEN if before(release, 0, 33) else V2_FILTERED
    if before(release, 0, 8):
        return NOT_PROFILED
    chosen = env.get("VLLM_USE_FLASHINFER_SAMPLER")
    if at_least(release, 0, 17):
        return TRITON if rows >= _TRITON_MIN_ROWS or chosen == "1" else SORT
    if chosen == "1":
        return TRITON
    if before(release, 0, 10, 2) and chosen is None and config.gpu.vendor == "nvidia":
        return SORT_OR_FLASHINFER
    return SORT


def sampler_rows(config: EngineConfig) -> int:
    """Requests in the dummy sampler pass."""
    return min(config.max_num_seqs, config.max_num_batched_tokens)


def sampler_peak(config: EngineConfig, sizes: Dimensions) -> tuple[Band, str]:
    """GiB at the sampler's peak, and the formula; nothing for pooling models.

    The hidden states of the whole batch stay beside the logits; the Triton kernel has one scratch row for
    each multiprocessor.
    """
    if config.runner_type == "pooling":
        return Band(0.0, 0.0, 0.0), "pooling model: no sampler"
    rows = sampler_rows(config)
    cost = logit_cost(config, rows)
    hidden = (config.max_num_batched_tokens + rows) * sizes.hidden * sizes.element_bytes
    scratch = 0
    if cost is TRITON and at_least(config.release, 0, 17):
        scratch = (config.gpu.sm_count or _DEFAULT_SM_COUNT) * sizes.vocabulary * 4
    extra = _SPECULATIVE_BYTES if config.num_speculative_tokens > 0 and config.model_runner == "v1" else 0
    logits = rows * sizes.vocabulary
    bounds = [
        (hidden + scratch + logits * each) / GIB
        for each in (cost.low, cost.mid + extra / 2, cost.high + extra)
    ]
    formula = (
        f"sampler: {rows} requests x {sizes.vocabulary} logits x {cost.mid + extra / 2:g} B ({cost.reason})"
        f" + hidden states {hidden / GIB:.3f} GiB"
    )
    if scratch:
        formula += f" + scratch {scratch / GIB:.3f} GiB"
    return Band(bounds[0], bounds[1], bounds[2], cost.reason), formula
