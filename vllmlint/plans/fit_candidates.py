"""Which GPUs a server may land on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from vllmlint.contract.pools import contract_profiles
from vllmlint.hardware.gpu import Gpu
from vllmlint.hardware.labels import candidates_of
from vllmlint.hardware.profile import NodeProfile
from vllmlint.manifest.nodes import Scalar
from vllmlint.record import record
from vllmlint.serving.server import Server
from vllmlint.world import World

_REQUIRED = (
    "affinity",
    "nodeAffinity",
    "requiredDuringSchedulingIgnoredDuringExecution",
    "nodeSelectorTerms",
)
_NOTHING_TELLS = "nothing tells which GPU the pod gets: describe it under nodePools, or give --gpu"


@record
class Candidate:
    """A GPU a pod may get: `gpu` is None where only the pool is known. `problem` says what cannot be told,
    `assumption` what is taken for granted."""

    gpu: Gpu | None
    pool: str | None
    problem: str = ""
    assumption: str = ""

    def with_memory(self, memory_gib: float) -> Candidate:
        """The same with another total memory, in GiB."""
        if self.gpu is None:
            return self
        gpu = dataclasses.replace(self.gpu, memory_gib=memory_gib, memory_certainty="stated")
        return dataclasses.replace(self, gpu=gpu)


def gpus_of_server(server: Server, world: World) -> tuple[Candidate, ...]:
    """The GPUs of the contract's pools that the pod's node selector allows, in the file's environment; where
    the contract has no such pool, those that the node selector names.

    One candidate without a GPU where nothing tells.
    """
    view = world.contract_of(server.object.file.path)
    selector = _selector(server)
    resource = server.gpus[0].resource if server.gpus else None
    found: list[Candidate] = []
    for profile in contract_profiles(view.contract, view.relative_path):
        if _may_select(selector, profile):
            found += _of_pool(profile, resource)
    return tuple(found) or tuple(_of_selector(selector)) or (Candidate(None, None, _NOTHING_TELLS),)


def _selector(server: Server) -> dict[str, tuple[str, ...]]:
    """The labels that a node must have, each with the values it may have: of the node selector, and of a
    required node affinity with one term."""
    spec = server.workload.spec
    node = spec.mapping("nodeSelector")
    labels: dict[str, tuple[str, ...]] = {}
    if node is not None:
        labels = {key: (node.string(key) or "",) for key in node.entries}
    terms = list(spec.mappings(*_REQUIRED))
    for expression in terms[0].mappings("matchExpressions") if len(terms) == 1 else ():
        key, values = expression.string("key"), expression.sequence("values")
        if key is not None and expression.string("operator") == "In" and values is not None:
            texts = [item.text for item in values.items if isinstance(item, Scalar)]
            labels.setdefault(key, tuple(texts))
    return labels


def _may_select(selector: Mapping[str, tuple[str, ...]], profile: NodeProfile) -> bool:
    """Whether nodes of a pool may have every label that the pod asks for."""
    for key, wanted in selector.items():
        values = profile.node.label_values(key)
        if values is not None and not values.intersection(wanted):
            return False
    return True


def _of_pool(profile: NodeProfile, resource: str | None) -> Iterator[Candidate]:
    facts, name = profile.gpu, profile.name
    if resource is not None and profile.node.allocatable.get(resource) == 0:
        return
    if facts is None or not facts.candidates:
        if profile.node.absent_resources:  # a pool without GPUs
            return
        yield Candidate(None, name, f"the GPU of pool {name} is not known")
        return
    cards = profile.gpus_for(resource) if resource is not None else facts.candidates
    problem = ""
    if facts.sharing != "none" and facts.replicas != 1:
        problem = f"the GPUs of pool {name} are shared between pods"
    for card in cards or facts.candidates:
        yield Candidate(card, name, problem, _assumed(facts.certainty, f"pool {name}", card))


def _of_selector(selector: Mapping[str, tuple[str, ...]]) -> Iterator[Candidate]:
    told = candidates_of(selector)
    if told is not None:
        because = ", ".join(f"{key}={value}" for key, value in told.because)
        for card in told.gpus:
            yield Candidate(card, None, "", _assumed(told.certainty, because, card))


def _assumed(certainty: str, where: str, card: Gpu) -> str:
    return f"{where} stands for {card.id}, by its words" if certainty == "guess" else ""
