"""Section memory: what the memory plan says: weights, KV cache, concurrency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vllmlint.checks._fit import (
    assumptions_of,
    confidence_of,
    gpu_related,
    plans_of,
    remedies,
    scope_of,
    setting_place,
)
from vllmlint.finding import Finding
from vllmlint.serving.server import Server
from vllmlint.world import World

if TYPE_CHECKING:
    from vllmlint.memory.plan import MemoryPlan
    from vllmlint.plans.fit import FitPlan

_GIB = "GiB"
#: Refusals that mean: not one request of the full length fits.
_CACHE_RULES = frozenset({"kv-cache-cannot-hold-max-len", "kv-cache-cannot-auto-fit"})
_NOTHING_LEFT = "no-memory-for-kv-cache"
#: The cache has a size of its own, and the rest has no room beside it.
_GIVEN_CACHE = "given-cache-exceeds-gpu"


def weights_exceed_gpu_memory(server: Server, world: World) -> Iterator[Finding]:
    """Weights and what vLLM needs beside them leave nothing for the KV cache, or do not fit themselves."""
    plans = plans_of(server, world)
    yield from _given_cache(server, plans)
    failing = [plan for plan in plans if _refused_by(plan) == _NOTHING_LEFT]
    if not failing:
        return
    plan, scope = failing[0], scope_of(failing, plans)
    memory = plan.memory
    assert memory is not None
    stage = memory.stages[memory.tightest]
    weights, requested = stage.part("weights"), stage.requested_gib
    total = f"{requested.mid:.2f} {_GIB} that vLLM may use"
    if weights.low > requested.high:
        fact = f"the weights take {weights.mid:.2f} {_GIB} on each GPU, more than the {total}"
    else:
        rest = stage.requested_gib.mid - stage.available_gib.mid - weights.mid
        fact = (
            f"the weights take {weights.mid:.2f} {_GIB} on each GPU and start-up {rest:.2f} more (most: "
            f"{', '.join(memory.dominant[:2])}), and of the {total} nothing is left for the KV cache"
        )
    help_text = (
        remedies(plan) or "Use more GPUs (`--tensor-parallel-size`), a quantised checkpoint or a larger GPU."
    )
    yield Finding(
        server.model.place or server.anchor,
        f"{fact} {scope.text}: the server stops at start, out of memory",
        help_text,
        f"{weights.mid:.1f} {_GIB} of weights on each GPU",
        severity=None if scope.everywhere else "warning",
        confidence=confidence_of(server, scope, plan),
        assumptions=assumptions_of(scope, plan),
        related=gpu_related(server, plan),
    )


def _given_cache(server: Server, plans: Sequence[FitPlan]) -> Iterator[Finding]:
    """A KV cache of a given size that leaves the weights no room, or has none itself."""
    failing = [plan for plan in plans if _refused_by(plan) == _GIVEN_CACHE]
    if not failing:
        return
    plan, scope = failing[0], scope_of(failing, plans)
    memory = plan.memory
    assert memory is not None
    assert memory.refusal is not None
    yield Finding(
        setting_place(server, memory.refusal.settings) or server.model.place or server.anchor,
        f"{memory.refusal.message} {scope.text}: the server stops at start",
        "Give the cache less, or leave its size to `--gpu-memory-utilization`.",
        "more than the GPU has room for",
        severity=None if scope.everywhere else "warning",
        confidence=confidence_of(server, scope, plan),
        assumptions=assumptions_of(scope, plan),
        related=gpu_related(server, plan),
    )


def kv_cache_cannot_hold_max_len(server: Server, world: World) -> Iterator[Finding]:
    """A context length of which not one request fits the KV cache."""
    plans = plans_of(server, world)
    failing = [plan for plan in plans if _refused_by(plan) in _CACHE_RULES]
    unlikely = [plan for plan in plans if _is_unlikely(plan)]
    if not failing and not unlikely:
        return
    certain = bool(failing)
    plan, scope = (failing or unlikely)[0], scope_of(failing or unlikely, plans)
    memory = plan.memory
    assert memory is not None
    assert memory.kv is not None
    low, _, high = memory.kv
    needed = high.needed_gib if high.needed_gib is not None else low.needed_gib
    needs = f"needs {needed:.2f} {_GIB} of KV cache on each GPU" if needed is not None else "needs more"
    # below nothing, it is the other parts that do not fit
    left = f"{_range(max(low.available_gib, 0.0), max(high.available_gib, 0.0))} {_GIB} are left {scope.text}"
    outcome = "vLLM stops at start" if certain else "vLLM probably stops at start"
    longest = f" (at most about {high.longest:,} tokens fit)" if certain and high.longest else ""
    yield Finding(
        setting_place(server, ("max_model_len",)) or server.model.place or server.anchor,
        f"one request of {high.max_model_len:,} tokens {needs}, and {left}: {outcome}{longest}",
        remedies(plan) or "Lower `--max-model-len`, or give the server more GPU memory.",
        f"{needed:.1f} {_GIB} for one request" if needed is not None else "does not fit",
        severity=None if certain and scope.everywhere else "warning",
        confidence=confidence_of(server, scope, plan) if certain else "low",
        assumptions=assumptions_of(scope, plan),
        related=gpu_related(server, plan),
    )


def concurrency_below_contract(server: Server, world: World) -> Iterator[Finding]:
    """A KV cache that holds fewer requests of full length than the contract asks for."""
    wanted = world.contract(server.object).serving.min_concurrency
    if wanted is None:
        return
    plans = plans_of(server, world)
    short = [plan for plan in plans if _holds_at_most(plan) < wanted]
    if not short:
        return
    plan, scope = short[0], scope_of(short, plans)
    memory = plan.memory
    assert memory is not None
    assert memory.kv is not None
    low, _, high = memory.kv
    yield Finding(
        setting_place(server, ("max_model_len",)) or server.model.place or server.anchor,
        f"the KV cache holds {_range(low.concurrency, high.concurrency)} requests of {high.max_model_len:,} "
        f"tokens at once {scope.text}, and the contract asks for {wanted}: the others wait, or are computed "
        "again",
        remedies(plan, wanted) or "Lower `--max-model-len`, or give the server more GPU memory.",
        f"{wanted} wanted",
        severity=None if scope.everywhere else "warning",
        confidence=confidence_of(server, scope, plan),
        assumptions=assumptions_of(scope, plan),
        related=gpu_related(server, plan),
    )


def fits_only_one_environment(server: Server, world: World) -> Iterator[Finding]:
    """What fits the nodes of one environment and not those of another it is, or will be, deployed to."""
    contract = world.contract(server.object)
    if sum(1 for one in contract.environments.values() if one.node_pools is not None) < 2:
        return
    from vllmlint.plans.fit_environments import plans_by_environment

    plans = plans_by_environment(server, world)
    own = world.environment_of(server.object.file.path)
    fitting = [name for name, found in plans.items() if all(plan.verdict == "fits" for plan in found)]
    failing = [name for name, found in plans.items() if any(plan.verdict == "does-not-fit" for plan in found)]
    if not fitting or not failing or (own is not None and own not in fitting):
        return
    here, there = own or fitting[0], failing[0]
    good = plans[here][0]
    bad = next(plan for plan in plans[there] if plan.verdict == "does-not-fit")
    yield Finding(
        setting_place(server, ("max_model_len",)) or server.model.place or server.anchor,
        f"this fits {here} ({_sum(good)}) and not {there} ({_sum(bad)}): {_outcome(own, there)}",
        remedies(bad)
        or f"Change what {there} gets: a shorter `--max-model-len`, more GPUs, or another pool.",
        f"does not fit {there}",
        severity=None if own is None else "warning",
        confidence="medium",
        assumptions=(f"the same settings are deployed to {there}",),
        related=gpu_related(server, good),
    )


def _outcome(own: str | None, there: str) -> str:
    if own is None:
        return f"the overlay of {there} does not start"
    return f"promoted to {there} as it is, the server does not start"


def _refused_by(plan: FitPlan) -> str:
    """The rule of the refusal that makes a plan fail; empty where it does not fail for certain."""
    memory = plan.memory
    if plan.verdict != "does-not-fit" or memory is None or memory.refusal is None:
        return ""
    return memory.refusal.rule


def _is_unlikely(plan: FitPlan) -> bool:
    """Whether the cache fails at the middle of the estimate, though not at its high end."""
    kv = plan.memory.kv if plan.memory is not None else None
    if plan.verdict != "depends" or kv is None or plan.subject.without:
        return False
    refusal = kv[1].refusal
    return refusal is not None and refusal.rule in {*_CACHE_RULES, _NOTHING_LEFT}


def _holds_at_most(plan: FitPlan) -> float:
    """Requests of full length at the high end of the estimate; infinite where nothing can be said."""
    kv = plan.memory.kv if plan.memory is not None else None
    if kv is None or plan.verdict not in {"fits", "depends"} or plan.subject.without:
        return float("inf")
    return kv[2].concurrency


def _range(low: float, high: float) -> str:
    one, other = f"{low:.2f}", f"{high:.2f}"
    return one if one == other else f"{one} to {other}"


def _sum(plan: FitPlan) -> str:
    """A plan's sum in a few words: `nvidia-l4: 15.0 GiB of weights, 1.2 left for the KV cache, needs 2.0`."""
    gpu = plan.gpu.id if plan.gpu is not None else "?"
    memory = plan.memory
    if memory is None or not memory.stages:
        return f"{gpu}: {plan.reason}"
    return f"{gpu}: {_parts(memory)}"


def _parts(memory: MemoryPlan) -> str:
    stage = memory.stages[memory.tightest]
    parts = [
        f"{stage.requested_gib.mid:.2f} {_GIB} to use",
        f"{stage.part('weights').mid:.2f} for weights",
        f"{max(stage.available_gib.mid, 0.0):.2f} left for the KV cache",
    ]
    needed = memory.needed_gib
    if needed is not None:
        parts.append(f"one request needs {needed:.2f}")
    return ", ".join(parts)
