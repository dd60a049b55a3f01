"""A plan beside what a real start-up logged: how far off every number is, and whether it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vllmlint.hardware.gpu import Gpu
from vllmlint.memory.band import Band
from vllmlint.memory.kv_figures import KvFigures
from vllmlint.memory.profile import profile_terms
from vllmlint.plans.fit import FitPlan
from vllmlint.plans.fit_model import KnownModel
from vllmlint.plans.fit_subject import FitSubject
from vllmlint.plans.startup_log import StartupLog
from vllmlint.record import record, replace
from vllmlint.serving.release import known_releases

#: Arguments of a log that say what is served and where, not how.
_NOT_SETTINGS = frozenset({"model", "model_tag", "tokenizer", "served_model_name", "revision", "config"})


@record
class Compared:
    """One quantity: what was predicted, what the log prints (None: not printed), in `unit`."""

    quantity: str
    unit: str
    predicted: Band | None
    logged: float | None

    @property
    def error_percent(self) -> float | None:
        """How far the middle of the prediction is from the log, in percent of what the log says."""
        if self.predicted is None or not self.logged:
            return None
        return (self.predicted.mid - self.logged) / abs(self.logged) * 100

    @property
    def inside(self) -> bool | None:
        """Whether the log's number lies in the band, as the log rounds it."""
        if self.predicted is None or self.logged is None:
            return None
        slack = _ROUNDING[self.unit]
        return self.predicted.low - slack <= self.logged <= self.predicted.high + slack


#: Half of the last digit that a log prints.
_ROUNDING = {"GiB": 0.005, "tokens": 0.5, "blocks": 0.5, "requests": 0.005}


def subject_of_log(log: StartupLog, model: KnownModel) -> FitSubject:
    """What the log says that vLLM was told."""
    settings = {name: value for name, value in log.settings.items() if name not in _NOT_SETTINGS}
    assumptions = list(model.assumptions)
    release = log.release
    if release is None:
        release = known_releases()[-1]
        assumptions.append(f"vLLM {release}, the newest release known: the log does not tell")
    return FitSubject(
        None,
        model.id,
        model.architecture,
        model.problem,
        release,
        settings,
        frozenset(),
        {},
        None,
        (),
        tuple(assumptions),
        model.confidence,
    )


def gpu_of_log(gpus: Sequence[Gpu], log: StartupLog) -> Gpu:
    """The GPU of a name whose memory is nearest to what the log prints, with just that memory."""
    total = log.total_gib
    if total is None:
        return gpus[0]
    nearest = min(gpus, key=lambda gpu: abs((gpu.memory_gib or 0.0) - total))
    return replace(nearest, memory_gib=total, memory_certainty="measured")


def compared(plan: FitPlan, log: StartupLog) -> list[Compared]:
    """Every quantity that a log may print, in vLLM's order."""
    memory = plan.memory
    parts: Mapping[str, Band | None] = dict.fromkeys(("weights", "activation", "non_torch", "graphs", "kv"))
    kv: tuple[KvFigures, KvFigures, KvFigures] | None = None
    length: int | None = None
    if memory is not None and memory.config is not None and memory.stages:
        stage, config = memory.stages[memory.tightest], memory.config
        profile = profile_terms(config, memory.tightest)
        parts = {
            "weights": stage.part("weights"),
            "activation": profile.logged_activation_gib(config),
            "non_torch": profile.logged_non_torch_gib(config),
            "graphs": profile.cuda_graph.gib,
            "kv": stage.available_gib,
        }
        kv = memory.kv
        length = kv[1].max_model_len if kv is not None else config.max_model_len
    other = log.non_torch_gib
    if other is None and log.consumed_gib is not None and log.weights_gib is not None:
        other = log.consumed_gib - log.weights_gib
    same_length = log.concurrency_length is None or log.concurrency_length == length
    return [
        Compared("weights", "GiB", parts["weights"], log.weights_gib),
        Compared("peak activation", "GiB", parts["activation"], log.activation_gib),
        Compared("non-torch", "GiB", parts["non_torch"], other),
        Compared("CUDA graph estimate", "GiB", parts["graphs"], log.graph_estimate_gib),
        Compared("KV cache", "GiB", parts["kv"], log.kv_gib),
        Compared("KV cache blocks", "blocks", _band(kv, "blocks"), log.gpu_blocks),
        Compared("KV cache tokens", "tokens", _band(kv, "tokens"), log.kv_tokens),
        Compared(
            "concurrency",
            "requests",
            _band(kv, "concurrency") if same_length else None,
            log.max_concurrency,
        ),
    ]


def _band(kv: tuple[KvFigures, KvFigures, KvFigures] | None, name: str) -> Band | None:
    if kv is None:
        return None
    low, mid, high = (float(getattr(one, name)) for one in kv)
    return Band(low, mid, high)


def comparison_data(plan: FitPlan, log: StartupLog, source: str) -> dict[str, Any]:
    """The comparison as plain data: `outcome` says how it ended and whether the verdict says the same."""
    failure = log.failure
    return {
        "log": source,
        "quantities": [_quantity(one) for one in compared(plan, log)],
        "outcome": {
            "started": failure is None,
            "failure": failure.kind if failure is not None else None,
            "line": failure.line if failure is not None else None,
            "agrees": agrees(plan, log),
        },
    }


def agrees(plan: FitPlan, log: StartupLog) -> bool | None:
    """Whether the verdict is what happened; None where it is not a yes or no."""
    if plan.verdict not in {"fits", "does-not-fit"}:
        return None
    return (plan.verdict == "fits") == (log.failure is None)


def _quantity(one: Compared) -> dict[str, Any]:
    predicted, error = one.predicted, one.error_percent
    band = None
    if predicted is not None:
        band = {
            "low": round(predicted.low, 4),
            "mid": round(predicted.mid, 4),
            "high": round(predicted.high, 4),
        }
    return {
        "quantity": one.quantity,
        "unit": one.unit,
        "predicted": band,
        "logged": one.logged,
        "error_percent": None if error is None else round(error, 2),
        "inside": one.inside,
    }
