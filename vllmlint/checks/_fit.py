"""What a memory plan says of a server, in the terms of findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from vllmlint.finding import Related
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.serving.server import Server
from vllmlint.severity import Confidence
from vllmlint.world import World

if TYPE_CHECKING:
    from vllmlint.engine.config import Refusal
    from vllmlint.plans.fit import FitPlan

#: A release that the image names, or the contract.
_SURE_RELEASES = frozenset({"certain", "contract"})
#: How many changes a help text names.
_MOST_SUGGESTIONS = 3


@record
class Scope:
    """On which of the GPUs that a pod may get something holds: `names` of those, `everywhere` when on all."""

    names: tuple[str, ...]
    everywhere: bool

    @property
    def text(self) -> str:
        """The GPUs in words: `on nvidia-l4`, `on pool l4`."""
        return f"on {' and '.join(self.names)}"


def plans_of(server: Server, world: World) -> Sequence[FitPlan]:
    """The plans of a server on the GPUs it may get; none where a plan could not be told anyway.

    The arithmetic is imported only here: most runs hold servers whose model or GPU is not known.
    """
    found: Sequence[FitPlan] | None = server.memo.get("told plans")
    if found is None:
        found = server.memo["told plans"] = _plans_of(server, world)
    return found


def _plans_of(server: Server, world: World) -> Sequence[FitPlan]:
    if server.is_headless or server.model.kind == "unknown" or server.model.source == "default":
        return ()
    from vllmlint.plans.fit_model import model_of_server

    if model_of_server(server, world).architecture is None:
        return ()
    from vllmlint.plans.fit_world import fit_plans

    return fit_plans(server, world)


def scope_of(chosen: Iterable[FitPlan], plans: Sequence[FitPlan]) -> Scope:
    """Where the chosen ones of a server's plans stand."""
    found = list(chosen)
    return Scope(tuple(dict.fromkeys(gpu_name(plan) for plan in found)), len(found) == len(plans))


def gpu_name(plan: FitPlan) -> str:
    """The GPU of a plan, and the pool it stands for."""
    gpu = plan.gpu.id if plan.gpu is not None else "an unknown GPU"
    return f"{gpu} (pool {plan.pool})" if plan.pool is not None else gpu


def confidence_of(server: Server, scope: Scope, plan: FitPlan) -> Confidence:
    """High where release, model and GPU are told and all GPUs agree; low where a name is a guess."""
    if plan.subject.confidence == "low":
        return "low"
    sure = server.release_certainty in _SURE_RELEASES and not plan.subject.assumptions
    return "high" if sure and scope.everywhere and plan.subject.confidence == "high" else "medium"


def assumptions_of(scope: Scope, plan: FitPlan) -> tuple[str, ...]:
    """What a finding from a plan takes for granted."""
    where = () if scope.everywhere else (f"the pod lands {scope.text}",)
    return (*where, *plan.subject.assumptions)


def setting_place(server: Server, names: Iterable[str]) -> Place | None:
    """The value of the first of these settings that is written."""
    for name in names:
        value = server.get(name)
        if value.explicit and value.place is not None:
            return value.place
    return None


def refusal_place(server: Server, refusal: Refusal) -> Place:
    """What a refusal is about: the setting it names, else the model, else the container."""
    return setting_place(server, refusal.settings) or server.model.place or server.anchor


def gpu_related(server: Server, plan: FitPlan) -> tuple[Related, ...]:
    """The GPUs in the container's limits, with what they are."""
    gpu = plan.gpu
    if gpu is None or gpu.memory_gib is None:
        return ()
    label = f"{gpu.id}, {gpu.memory_gib:.2f} GiB each"
    return tuple(Related(one.node.content, label) for one in server.gpus[:1])


def remedies(
    plan: FitPlan, concurrency: int | None = None, *, skip: Callable[[str], bool] | None = None
) -> str:
    """Changes that were worked out again, as a sentence; empty where none helps."""
    from vllmlint.plans.fit_suggest import suggest

    found = [one for one in suggest(plan, concurrency, ()) if skip is None or not skip(one.change)]
    if not found:
        return ""
    texts = [f"`{one.change}`" for one in found[:_MOST_SUGGESTIONS]]
    return (
        f"{texts[0]} makes it fit."
        if len(texts) == 1
        else f"Any one of these makes it fit: {', '.join(texts)}."
    )
