"""What vllmlint predicts for one calibration row, in the terms that vLLM logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vllmlint.engine.config import EngineConfig, EngineRequest, Refusal
from vllmlint.engine.resolve import resolve
from vllmlint.memory.band import Band
from vllmlint.memory.kv_plan import KvPlan, plan_kv
from vllmlint.memory.profile import ProfileTerms, profile_terms
from vllmlint.memory.weights import WeightsUnknownError, weight_terms, weight_total

GIB = 1 << 30


@dataclass(frozen=True)
class Prediction:
    """Bands in GiB and tokens; `verdict` is `fits`, `does-not-fit`, `depends` or `unknown`."""

    verdict: str
    reason: str
    config: EngineConfig | None = None
    weights: Band | None = None
    activation: Band | None = None
    kv: Band | None = None
    tokens: Band | None = None
    concurrency: Band | None = None
    workspace: Band | None = None
    bytes_per_token: float | None = None


def predict(request: EngineRequest) -> Prediction:
    """The prediction for a request: every pipeline stage is worked out, the tightest decides."""
    config = resolve(request)
    if isinstance(config, Refusal):
        return Prediction("does-not-fit", config.message)
    total = config.gpu.memory_gib
    if total is None:
        return Prediction("unknown", "memory of the GPU is not known", config)
    weights, profiles, available = [], [], []
    budget = config.gpu_memory_utilization * total
    try:
        for stage in range(config.pipeline_parallel_size):
            held = weight_total(weight_terms(config, stage))
            terms = profile_terms(config, stage)
            charged = terms.charged_gib
            weights.append(held)
            profiles.append(terms)
            available.append(
                Band(
                    budget - held.high - charged.high,
                    budget - held.mid - charged.mid,
                    budget - held.low - charged.low,
                )
            )
    except WeightsUnknownError as error:
        return Prediction("unknown", str(error), config)
    tightest = min(range(len(available)), key=lambda stage: available[stage].mid)
    if config.request.settings.get("kv_cache_memory_bytes"):
        fixed = config.request.settings["kv_cache_memory_bytes"] / GIB
        available = [Band(fixed, fixed, fixed)] * len(available)
    return _planned(config, weights[tightest], profiles[tightest], available, total)


def _planned(
    config: EngineConfig, weights: Band, terms: ProfileTerms, available: list[Band], total: float
) -> Prediction:
    activation = terms.logged_activation_gib(config)
    plans = {
        end: plan_kv(config, [int(getattr(band, end) * GIB) for band in available])
        for end in ("low", "mid", "high")
    }
    if any(not isinstance(plan, KvPlan | Refusal) for plan in plans.values()):
        return Prediction("unknown", "the model's caches are not known", config, weights, activation)
    kv = min(available, key=lambda band: band.mid)
    starts = {end: isinstance(plan, KvPlan) for end, plan in plans.items()}
    overfull = weights.low > total
    if overfull or not starts["high"]:
        refusal = plans["high"]
        reason = "weights exceed the GPU" if overfull else getattr(refusal, "message", "")
        verdict = "does-not-fit"
    elif starts["low"]:
        verdict, reason = "fits", ""
    else:
        verdict, reason = "depends", getattr(plans["low"], "message", "")
    tokens = _spread(plans, lambda plan: plan.kv_tokens)
    concurrency = _spread(plans, lambda plan: plan.max_concurrency)
    best = plans["high"]
    cost = best.bytes_per_token if isinstance(best, KvPlan) else None
    return Prediction(
        verdict, reason, config, weights, activation, kv, tokens, concurrency, terms.workspace_gib, cost
    )


def _spread(plans: dict[str, object], value: Callable[[KvPlan], float]) -> Band | None:
    """A quantity over the three plans; None where the middle one does not start."""
    found = {end: float(value(plan)) for end, plan in plans.items() if isinstance(plan, KvPlan)}
    if "mid" not in found:
        return None
    return Band(found.get("low", 0.0), found["mid"], found.get("high", found["mid"]))
