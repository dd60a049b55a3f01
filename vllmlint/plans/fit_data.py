"""Plans of `fit` as plain data in the shape of the design page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vllmlint.memory.band import Band
from vllmlint.memory.kv_figures import KvFigures
from vllmlint.memory.plan import PARTS, MemoryPlan, StageMemory
from vllmlint.models.modules import parameter_count
from vllmlint.plans.fit import FitPlan
from vllmlint.plans.fit_subject import FitSubject
from vllmlint.plans.fit_suggest import Suggestion

if TYPE_CHECKING:
    from vllmlint.serving.server import Server

SCHEMA_VERSION = "1"
#: What of the resolved engine a plan shows as its settings.
_SETTINGS = (
    *("dtype", "quantization", "kv_cache_dtype", "max_model_len", "max_num_seqs", "max_num_batched_tokens"),
    *("gpu_memory_utilization", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"),
    *("decode_context_parallel_size", "enable_expert_parallel", "enforce_eager", "enable_prefix_caching"),
    *("enable_chunked_prefill", "num_speculative_tokens", "model_runner"),
)


def fit_document(plans: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What `fit --format json` writes."""
    return {"schema_version": SCHEMA_VERSION, "plans": list(plans)}


def plan_data(
    plan: FitPlan, suggestions: Sequence[Suggestion] = (), *, explain: bool = False
) -> dict[str, Any]:
    """One plan; `explain` adds every term with its formula."""
    subject, memory = plan.subject, plan.memory
    stages = memory.stages if memory is not None else ()
    tightest = memory.tightest if memory is not None else 0
    data = {
        "server": _server(subject.server),
        "model": _model(subject),
        "release": str(subject.release),
        "pool": plan.pool,
        "gpu": None if plan.gpu is None else {"id": plan.gpu.id, "memory_gib": plan.gpu.memory_gib},
        "gpus": _gpus(memory, subject.gpu_count),
        "settings": _settings(memory, subject.settings),
        "given": sorted(subject.settings),
        "per_gpu": _stage(stages[tightest]) if stages else None,
        "stages": [_stage(stage) for stage in stages],
        "tightest_stage": tightest if stages else None,
        "kv": _kv(memory),
        "needed_gib": _flat(memory.needed_gib if memory is not None else None),
        "max_concurrency": _figure(memory, lambda one: round(one.concurrency, 4)),
        "max_model_len_that_fits": _longest(memory),
        "verdict": plan.verdict,
        "reason": plan.reason,
        "refusal": _refusal(memory),
        "dominant": list(memory.dominant) if memory is not None else [],
        "assumptions": [*subject.assumptions, *_doubts(memory)],
        "suggestions": [
            {"change": one.change, "effect": one.effect, "settings": dict(one.settings), "goal": one.goal}
            for one in suggestions
        ],
    }
    if explain:
        data["terms"] = [term for stage in stages for term in _terms(stage)]
    return data


def _refusal(memory: MemoryPlan | None) -> dict[str, Any] | None:
    """What vLLM says where it ends for certain."""
    refusal = memory.refusal if memory is not None else None
    if refusal is None:
        return None
    return {
        "rule": refusal.rule,
        "stage": refusal.stage,
        "message": refusal.message,
        "settings": list(refusal.settings),
    }


def _doubts(memory: MemoryPlan | None) -> Sequence[str]:
    """What vLLM's configuration could not be told and was taken as it usually is."""
    return memory.config.doubts if memory is not None and memory.config is not None else ()


def _server(server: Server | None) -> dict[str, Any] | None:
    if server is None:
        return None
    obj = server.object
    named = {
        "apiVersion": obj.api_version,
        "kind": obj.kind,
        "namespace": obj.namespace,
        "name": obj.name,
    }
    return {
        "file": obj.file.path,
        "document": obj.document,
        "object": named,
        "container": server.container.name,
    }


def _model(subject: FitSubject) -> dict[str, Any]:
    architecture = subject.architecture
    parameters = parameter_count(architecture) if architecture is not None else None
    return {
        "id": subject.model_id or None,
        "parameters": parameters.total if parameters is not None else None,
        "source": architecture.source if architecture is not None else None,
        "confidence": subject.confidence if architecture is not None else None,
    }


def _gpus(memory: MemoryPlan | None, counted: int | None) -> int | None:
    """GPUs that one engine takes; where it cannot be told, those that the pod has."""
    if memory is None or memory.config is None:
        return counted
    config = memory.config
    return config.tensor_parallel_size * config.pipeline_parallel_size * config.prefill_context_parallel_size


def _settings(memory: MemoryPlan | None, given: Mapping[str, Any]) -> dict[str, Any]:
    if memory is None or memory.config is None:
        return dict(given)
    settings = {name: getattr(memory.config, name) for name in _SETTINGS}
    if memory.kv is not None:
        # with `--max-model-len auto` what fits, by the careful end
        settings["max_model_len"] = memory.kv[0].max_model_len
    return settings


def band(amount: Band) -> dict[str, float]:
    """A band as data, to a tenth of a MiB."""
    return {"low": round(amount.low, 4), "mid": round(amount.mid, 4), "high": round(amount.high, 4)}


def _flat(amount: float | None) -> dict[str, float] | None:
    return None if amount is None else band(Band(amount, amount, amount))


def _stage(stage: StageMemory) -> dict[str, Any]:
    sums = {f"{part}_gib": band(stage.part(part)) for part in PARTS}
    return {
        **sums,
        "kv_gib": band(stage.available_gib),
        "requested_gib": band(stage.requested_gib),
    }


def _kv(memory: MemoryPlan | None) -> dict[str, Any] | None:
    if memory is None or memory.kv is None:
        return None
    known = next((one for one in reversed(memory.kv) if one.bytes_per_token is not None), memory.kv[-1])
    return {
        "bytes_per_token": known.bytes_per_token,
        "block_size": known.block_size,
        "blocks": _figure(memory, lambda one: one.blocks),
        "tokens": _figure(memory, lambda one: one.tokens),
    }


def _figure(memory: MemoryPlan | None, of: Callable[[KvFigures], float]) -> dict[str, float] | None:
    if memory is None or memory.kv is None:
        return None
    low, mid, high = memory.kv
    return {"low": of(low), "mid": of(mid), "high": of(high)}


def _longest(memory: MemoryPlan | None) -> dict[str, float] | None:
    if memory is None or memory.kv is None or any(one.longest is None for one in memory.kv):
        return None
    return _figure(memory, lambda one: one.longest or 0)


def _terms(stage: StageMemory) -> list[dict[str, Any]]:
    return [
        {
            "stage": stage.index,
            "part": part,
            "name": term.name,
            "gib": band(term.gib),
            "formula": term.formula,
            "reason": term.gib.reason,
        }
        for part in PARTS
        for term in stage.terms[part]
    ]
