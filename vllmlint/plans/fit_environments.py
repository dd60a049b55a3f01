"""The plans of a server in each environment of the contract."""

from __future__ import annotations

from vllmlint.contract.pools import pools_of_environment
from vllmlint.plans.fit import FitPlan
from vllmlint.plans.fit_candidates import gpus_on
from vllmlint.plans.fit_world import plans_on, subject_in
from vllmlint.serving.server import Server
from vllmlint.world import World


def plans_by_environment(server: Server, world: World) -> dict[str, tuple[FitPlan, ...]]:
    """The plans on the pools of each environment that names some.

    For a file that is in none (a base) those of all environments; else of its own, and of those that no
    variant of the object is deployed to in the run.

    An environment whose pools the pod cannot select is left out.
    """
    path = server.object.file.path
    contract, own = world.contract_of(path).contract, world.environment_of(path)
    subject = subject_in(server, world)
    covered = _environments_of_variants(server, world) if own is not None else frozenset[str]()
    found: dict[str, tuple[FitPlan, ...]] = {}
    for name, environment in contract.environments.items():
        if environment.node_pools is None or (name != own and name in covered):
            continue
        candidates = gpus_on(server, pools_of_environment(contract, name), world)
        if candidates:
            found[name] = plans_on(subject, candidates)
    return found


def _environments_of_variants(server: Server, world: World) -> frozenset[str]:
    """The environments in which the run holds an object of the same identity: they speak for themselves."""
    obj = server.object
    names = {
        world.environment_of(other.file.path)
        for facts in world.files
        for other in facts.objects
        if other is not obj and (other.kind, other.name) == (obj.kind, obj.name)
    }
    return frozenset(name for name in names if name is not None)
