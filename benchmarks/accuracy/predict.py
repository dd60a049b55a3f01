"""What vllmlint predicts for one calibration row, in the terms that vLLM logs."""

from __future__ import annotations

from dataclasses import dataclass

from vllmlint.engine.config import EngineConfig, EngineRequest
from vllmlint.memory.band import Band
from vllmlint.memory.kv_plan import KvPlan, plan_kv
from vllmlint.memory.plan import MemoryPlan, plan_memory
from vllmlint.memory.profile import profile_terms

GIB = 1 << 30
#: More memory than any server has, in bytes: a plan for it tells what a token costs.
_PLENTY = 1 << 50


@dataclass(frozen=True)
class Prediction:
    """Bands in GiB and tokens; `verdict` is `fits`, `does-not-fit`, `depends` or `unknown`.

    `activation` is what the release prints as peak activation, `workspace` the experts' workspace in it,
    `bytes_per_token` what one more token costs on the widest stage.
    """

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
    """The prediction for a request, as `vllmlint fit` works it out; the tightest stage speaks."""
    plan = plan_memory(request)
    config = plan.config
    if config is None or not plan.stages:
        return Prediction(plan.verdict, plan.reason, config)
    stage = plan.stages[plan.tightest]
    profile = profile_terms(config, plan.tightest)
    tokens, concurrency = _cache(plan)
    cost = plan_kv(config, _PLENTY)
    return Prediction(
        plan.verdict,
        plan.reason,
        config,
        stage.part("weights"),
        profile.logged_activation_gib(config),
        stage.available_gib,
        tokens,
        concurrency,
        profile.workspace_gib,
        cost.bytes_per_token if isinstance(cost, KvPlan) else None,
    )


def _cache(plan: MemoryPlan) -> tuple[Band | None, Band | None]:
    """Tokens and concurrency over the three cache plans; None where the middle one does not start."""
    if plan.kv is None or plan.kv[1].refusal is not None:
        return None, None
    low, mid, high = plan.kv
    return (
        Band(low.tokens, mid.tokens, high.tokens),
        Band(low.concurrency, mid.concurrency, high.concurrency),
    )
