"""The KV cache over a band of available memory: vLLM's plan at its low, middle and high end."""

from __future__ import annotations

from collections.abc import Sequence

from vllmlint.engine.config import EngineConfig, Refusal
from vllmlint.memory.band import Band
from vllmlint.memory.kv_caches import KvCaches, prepare_kv
from vllmlint.memory.kv_plan import KvPlan, KvRefusal, needed_by_request, plan_caches
from vllmlint.models.layers import UnknownLayers
from vllmlint.record import record

GIB = 1 << 30


@record
class KvFigures:
    """The KV cache at one amount of available memory; `refusal` where vLLM ends instead.

    `available_gib` is that of the poorest stage. `needed_gib` is what one request of full length takes,
    `longest` the longest `max_model_len` that would fit, up to what the model allows (None: not worked
    out), `tokens` and `concurrency` as vLLM logs them. `shortened`:
    `max_model_len` is what vLLM cut it down to (`--max-model-len auto`).
    """

    available_gib: float
    refusal: Refusal | None
    blocks: int
    tokens: int
    concurrency: float
    needed_gib: float | None
    longest: int | None
    bytes_per_token: float | None
    block_size: int | None
    max_model_len: int
    shortened: bool = False


def kv_figures(
    config: EngineConfig, available_gib: Sequence[Band]
) -> tuple[KvFigures, KvFigures, KvFigures] | str:
    """The caches for what each stage may have left; a text says why the model's caches cannot be told."""
    caches = prepare_kv(config)
    if isinstance(caches, UnknownLayers):
        return caches.reason
    if isinstance(caches, Refusal):
        refused = [_refused(config, caches, None, min(ends)) for ends in _ends(available_gib)]
        return refused[0], refused[1], refused[2]
    low, mid, high = (_figures(caches, ends) for ends in _ends(available_gib))
    return low, mid, high


def _ends(available_gib: Sequence[Band]) -> tuple[list[float], list[float], list[float]]:
    """What each stage has at the low, middle and high end."""
    low, mid, high = zip(*((band.low, band.mid, band.high) for band in available_gib), strict=True)
    return list(low), list(mid), list(high)


def _figures(caches: KvCaches, available_gib: Sequence[float]) -> KvFigures:
    amounts = [int(gib * GIB) for gib in available_gib]
    plan = plan_caches(caches, amounts)
    poorest = min(available_gib)
    if isinstance(plan, Refusal):
        return _refused(caches.config, plan, needed_by_request(caches), poorest)
    return KvFigures(
        poorest,
        None,
        plan.num_blocks,
        plan.kv_tokens,
        plan.max_concurrency,
        plan.needed_bytes / GIB,
        _longest(caches, amounts, plan),
        plan.bytes_per_token,
        plan.block_size,
        plan.max_model_len,
        plan.auto_max_model_len is not None,
    )


def _refused(config: EngineConfig, refusal: Refusal, needed: int | None, poorest_gib: float) -> KvFigures:
    longest = (refusal.estimated_max_len or 0) if isinstance(refusal, KvRefusal) else None
    needed_gib = None if needed is None else needed / GIB
    return KvFigures(poorest_gib, refusal, 0, 0, 0.0, needed_gib, longest, None, None, config.max_model_len)


def _longest(caches: KvCaches, amounts: Sequence[int], plan: KvPlan) -> int:
    """The longest length that would fit: what vLLM estimates when it is asked for the model's own length."""
    config = caches.config
    if plan.max_model_len >= config.derived_max_model_len or config.auto_max_model_len:
        return plan.max_model_len
    longer = plan_caches(caches.at_length(config.derived_max_model_len), amounts)
    if isinstance(longer, KvPlan):
        return longer.max_model_len
    if isinstance(longer, KvRefusal) and longer.estimated_max_len is not None:
        return max(longer.estimated_max_len, plan.max_model_len)
    return plan.max_model_len
