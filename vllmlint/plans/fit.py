"""Does it fit: a server or a command line on a GPU, as a verdict with its sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vllmlint.engine.config import EngineRequest
from vllmlint.engine.kernels import cuda_build, kernels_missing
from vllmlint.facts.images import is_official
from vllmlint.hardware.gpu import Gpu
from vllmlint.memory.plan import MemoryPlan, Verdict, plan_memory
from vllmlint.memory.plan_cache import PlanCache
from vllmlint.models.overrides import overridden, why_not_followed
from vllmlint.plans.fit_subject import FitSubject, flag
from vllmlint.record import record

#: The first release that vllm-memory.md is about.
_OLDEST = "0.6.0"
#: Vendors of GPUs whose memory vLLM profiles as vllm-memory.md describes.
_VENDORS = frozenset({"nvidia", "amd"})
#: Servers that are told the same share a plan.
_PLANS = PlanCache()


@record
class FitPlan:
    """A plan for one subject on one GPU.

    `memory` is there whenever it could be worked out, also where `verdict` is `unknown` because part of
    the input cannot be told. `pool` is the contract's node pool the GPU stands for.
    """

    subject: FitSubject
    gpu: Gpu | None
    pool: str | None
    memory: MemoryPlan | None
    verdict: Verdict
    reason: str


def plan_subject(subject: FitSubject, gpu: Gpu | None, pool: str | None = None) -> FitPlan:
    """What becomes of a subject on a GPU; `unknown` with the reason where that cannot be told."""
    if subject.architecture is None:
        return FitPlan(subject, gpu, pool, None, "unknown", subject.model_problem)
    if not subject.release.at_least(_OLDEST):
        reason = f"vLLM {subject.release} is older than {_OLDEST}, the first release that is described"
        return FitPlan(subject, gpu, pool, None, "unknown", reason)
    if gpu is None:
        return FitPlan(subject, None, pool, None, "unknown", "the manifest does not tell which GPU it gets")
    if gpu.memory_gib is None:
        return FitPlan(subject, gpu, pool, None, "unknown", f"the memory of {gpu.id} is not known")
    if not can_plan(gpu):
        return FitPlan(
            subject, gpu, pool, None, "unknown", f"{gpu.id}: only CUDA and ROCm GPUs are planned for"
        )
    unclear = why_not_followed(subject.architecture, subject.settings, subject.release)
    if unclear:
        return FitPlan(subject, gpu, pool, None, "unknown", "; ".join((*subject.problems, unclear)))
    memory = _planned(subject, gpu, subject.settings)
    if subject.problems:
        return FitPlan(subject, gpu, pool, memory, "unknown", "; ".join(subject.problems))
    if subject.without:
        return _with_kernels(_on_every_path(subject, gpu, pool, memory))
    return _with_kernels(FitPlan(subject, gpu, pool, memory, memory.verdict, memory.reason))


def can_plan(gpu: Gpu) -> bool:
    """Whether the arithmetic is about this kind of GPU."""
    return gpu.vendor in _VENDORS


def _with_kernels(plan: FitPlan) -> FitPlan:
    """The plan, where the build has kernels for the GPU; else nothing runs there, however much memory it has.

    An image of somebody else's may be built for other GPUs than vLLM's own: then it cannot be told.
    """
    if plan.gpu is None or plan.verdict not in {"fits", "depends"}:
        return plan
    subject, server = plan.subject, plan.subject.server
    missing = kernels_missing(plan.gpu, cuda_build(subject.release))
    if not missing:
        return plan
    image = server.image if server is not None else None
    own_build = image is None or is_official(image.full_repository)
    verdict: Verdict = "does-not-fit" if own_build else "unknown"
    return FitPlan(subject, plan.gpu, plan.pool, plan.memory, verdict, missing)


def _planned(subject: FitSubject, gpu: Gpu, settings: Mapping[str, Any]) -> MemoryPlan:
    assert subject.architecture is not None
    architecture = overridden(subject.architecture, settings)
    request = EngineRequest(subject.release, architecture, gpu, settings, subject.env, subject.gpu_count)
    return _PLANS.plan(request, plan_memory)


def _on_every_path(subject: FitSubject, gpu: Gpu, pool: str | None, memory: MemoryPlan) -> FitPlan:
    """Settings that hold on some paths of a script only: the verdict stands where it is the same without."""
    others = {name: value for name, value in subject.settings.items() if name not in subject.without}
    bare = _planned(subject, gpu, others)
    if bare.verdict == memory.verdict:
        return FitPlan(subject, gpu, pool, memory, memory.verdict, memory.reason)
    names = ", ".join(flag(name) for name in sorted(subject.without))
    reason = f"{memory.verdict} with {names}, {bare.verdict} on the paths without"
    return FitPlan(subject, gpu, pool, memory, "depends", reason)


def for_requests(plan: FitPlan, concurrency: int | None) -> FitPlan:
    """The plan's answer where that many requests of full length are to be held at once, not just one."""
    memory = plan.memory
    if concurrency is None or memory is None or memory.kv is None or plan.verdict not in {"fits", "depends"}:
        return plan
    low, _, high = memory.kv
    if low.refusal is None and low.concurrency >= concurrency:
        return plan
    held = f"{low.concurrency:.2f} to {high.concurrency:.2f}"
    if f"{low.concurrency:.2f}" == f"{high.concurrency:.2f}":
        held = f"{low.concurrency:.2f}"
    reason = f"holds {held} requests of {high.max_model_len:,} tokens at once, {concurrency} are asked for"
    verdict: Verdict = "does-not-fit" if high.concurrency < concurrency else "depends"
    return FitPlan(plan.subject, plan.gpu, plan.pool, memory, verdict, reason)


#: From the verdict that a rollout must not ignore to the one it may.
_WORST: Sequence[Verdict] = ("does-not-fit", "depends", "unknown", "fits")


def worst(plans: Sequence[FitPlan]) -> FitPlan | None:
    """The plan with the worst verdict among those for the GPUs a pod may land on."""
    return min(plans, key=lambda plan: _WORST.index(plan.verdict), default=None)


def overall(plans: Sequence[FitPlan]) -> tuple[Verdict, str]:
    """The verdict over all GPUs a pod may land on, and for which of them it holds."""
    by_verdict: dict[Verdict, list[str]] = {}
    for plan in plans:
        name = plan.pool or (plan.gpu.id if plan.gpu is not None else "an unknown GPU")
        by_verdict.setdefault(plan.verdict, []).append(name)
    if len(by_verdict) == 1:
        return plans[0].verdict, plans[0].reason if len(plans) == 1 else "on every GPU it may land on"
    parts = [f"{verdict} on {', '.join(names)}" for verdict, names in by_verdict.items()]
    verdict = next(one for one in _WORST if one in by_verdict)
    return verdict, "; ".join(parts)
