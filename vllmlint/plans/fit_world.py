"""Plans for the servers of a run, on the GPUs their pods may land on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vllmlint.models.lookup import at_most
from vllmlint.plans.fit import FitPlan, plan_subject
from vllmlint.plans.fit_candidates import Candidate, gpus_of_server
from vllmlint.plans.fit_model import model_of_server
from vllmlint.plans.fit_subject import FitSubject, subject_of_server
from vllmlint.record import replace
from vllmlint.serving.release import Release
from vllmlint.serving.server import Server
from vllmlint.world import World


def fit_plans(server: Server, world: World) -> tuple[FitPlan, ...]:
    """The plans of a server as the manifest has it, one for each GPU it may land on; worked out once."""
    found: tuple[FitPlan, ...] | None = server.memo.get("fit")
    if found is None:
        subject = subject_in(server, world)
        found = server.memo["fit"] = plans_of_subject(subject, server, world)
    return found


def plans_of_subject(
    subject: FitSubject, server: Server, world: World, *, gpu_memory_gib: float | None = None
) -> tuple[FitPlan, ...]:
    """The plans of what a server is told, on the GPUs its pod may land on; `gpu_memory_gib` is what each of
    them reports."""
    found = gpus_of_server(server, world)
    if gpu_memory_gib is not None:
        found = tuple(candidate.with_memory(gpu_memory_gib) for candidate in found)
    return plans_on(subject, found)


def plans_on(subject: FitSubject, candidates: Iterable[Candidate]) -> tuple[FitPlan, ...]:
    """The plans of a subject, one for each candidate."""
    return tuple(_planned(subject, candidate) for candidate in candidates)


def subject_in(
    server: Server,
    world: World,
    *,
    release: Release | None = None,
    overrides: Mapping[str, Any] | None = None,
    model: str | None = None,
) -> FitSubject:
    """A server as vLLM is told, with its model looked up; what is given wins over what the manifest says."""
    known = model_of_server(server, world, model)
    return subject_of_server(server, known, release=release, overrides=overrides)


def _planned(subject: FitSubject, candidate: Candidate) -> FitPlan:
    if candidate.assumption:
        subject = replace(
            subject,
            assumptions=(*subject.assumptions, candidate.assumption),
            confidence=at_most(subject.confidence, candidate.confidence),
        )
    plan = plan_subject(subject, candidate.gpu, candidate.pool)
    if not candidate.problem:
        return plan
    told = plan.memory is not None and plan.reason != ""
    reason = f"{candidate.problem}; {plan.reason}" if told else candidate.problem
    return FitPlan(plan.subject, plan.gpu, plan.pool, plan.memory, "unknown", reason)
