"""Which GPUs a server may land on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from vllmlint.hardware.gpu import Gpu
from vllmlint.hardware.labels import candidates_of
from vllmlint.hardware.profile import NodeProfile
from vllmlint.plans.place import (
    Placement,
    labels_alone,
    named_cards,
    place_on,
    placement_of,
    wanted_labels,
)
from vllmlint.record import record, replace
from vllmlint.serving.server import Server
from vllmlint.severity import Confidence
from vllmlint.world import World

_NOTHING_TELLS = "nothing tells which GPU the pod gets: describe it under nodePools, or give --gpu"
_NO_PLACE = "no node that is known takes its pods: `vllmlint place` says why"


@record
class Candidate:
    """A GPU a pod may get: `gpu` is None where only the pool is known. `problem` says what cannot be told,
    `assumption` what is taken for granted; `confidence` is how sure it is that this is the GPU."""

    gpu: Gpu | None
    pool: str | None
    problem: str = ""
    assumption: str = ""
    confidence: Confidence = "high"

    def with_memory(self, memory_gib: float) -> Candidate:
        """The same with another total memory, in GiB."""
        if self.gpu is None:
            return self
        gpu = replace(self.gpu, memory_gib=memory_gib, memory_certainty="stated")
        return replace(self, gpu=gpu)


def gpus_of_server(server: Server, world: World) -> tuple[Candidate, ...]:
    """The GPUs of the node kinds that take the server's pods, or may: real nodes, the contract's pools, a
    platform's machines; where none of these is known, those that the pod's own labels name.

    One candidate without a GPU where nothing tells, or no node takes the pods.
    """
    workload = server.workload
    labels = labels_alone(workload, world)
    if labels is not None:  # the pod need not be placed
        return _distinct(_of_labels(labels))
    return _of_placement(placement_of(workload, world), server)


def gpus_on(server: Server, profiles: tuple[NodeProfile, ...], world: World) -> tuple[Candidate, ...]:
    """The GPUs of those of some pools of the contract that take the server's pods, or may."""
    return _of_placement(place_on(server.workload, "contract", profiles, world), server)


def _of_placement(placement: Placement, server: Server) -> tuple[Candidate, ...]:
    resource = server.gpus[0].resource if server.gpus else None
    found: list[Candidate] = []
    for pool in placement.possible:
        named = pool.profile.name if placement.origin != "platform" else None
        all_of_it = _of_profile(pool.profile, named, resource, pool.assumptions)
        cards = {card.id for card in named_cards(_cards(pool.profile, resource), placement.pod)}
        found += [one for one in all_of_it if one.gpu is None or one.gpu.id in cards]
    if not found and placement.origin == "nothing":
        found += _of_labels(wanted_labels(placement.pod))
    if not found and placement.pools:
        found.append(Candidate(None, None, _NO_PLACE))
    return _distinct(found)


def _distinct(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Each GPU of a pool once, or one that is not known: a platform has many machines with one GPU."""
    found = list(candidates)
    distinct = {(one.gpu.id if one.gpu is not None else None, one.pool): one for one in reversed(found)}
    return tuple(reversed(distinct.values())) or (Candidate(None, None, _NOTHING_TELLS),)


def _cards(profile: NodeProfile, resource: str | None) -> tuple[Gpu, ...]:
    """The cards that a unit of the resource may be on nodes of a kind."""
    if profile.gpu is None:
        return ()
    cards = profile.gpus_for(resource) if resource is not None else ()
    return cards or profile.gpu.candidates


def _of_profile(
    profile: NodeProfile, name: str | None, resource: str | None, assumptions: tuple[str, ...]
) -> Iterator[Candidate]:
    facts = profile.gpu
    if facts is None or not facts.candidates:
        if profile.node.absent_resources:  # nodes without GPUs
            return
        yield Candidate(None, name, f"the GPU of {profile.name} is not known")
        return
    problem = ""
    if facts.sharing != "none" and facts.replicas != 1:
        problem = f"the GPUs of {profile.name} are shared between pods"
    for card in _cards(profile, resource):
        guessed = facts.certainty == "guess"
        note = _guess(profile.name, card) if guessed else "; ".join(assumptions)
        yield Candidate(card, name, problem, note, "low" if guessed else "high")


def _of_labels(labels: Mapping[str, tuple[str, ...]]) -> Iterator[Candidate]:
    told = candidates_of(labels)
    if told is not None:
        because = ", ".join(f"{key}={value}" for key, value in told.because)
        for card in told.gpus:
            guessed = told.certainty == "guess"
            note = _guess(because, card) if guessed else ""
            yield Candidate(card, None, "", note, "low" if guessed else "high")


def _guess(where: str, card: Gpu) -> str:
    return f"{where} stands for {card.id}, by its words"
