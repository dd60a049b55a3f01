"""Node profiles from nothing but well-known labels: the machines a platform has for what a pod selects."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vllmlint.hardware.gpu import Gpu
from vllmlint.hardware.gpus import gpu_by_id
from vllmlint.hardware.instances import InstanceType, instance_types_of, instance_types_of_label
from vllmlint.hardware.label_values import label_options, values_naming
from vllmlint.hardware.labels import (
    INSTANCE_TYPE,
    INSTANCE_TYPE_KEYS,
    candidates_of,
    label_meaning,
    platform_of,
)
from vllmlint.hardware.profile import GpuFacts, NodeProfile, whole_resource
from vllmlint.hardware.taints import adds_resource_tolerations, default_taints
from vllmlint.kube.node import Amount, Node
from vllmlint.kube.quantity import exact_quantity
from vllmlint.record import replace

_GIB = 2**30
_GKE_ACCELERATOR = "cloud.google.com/gke-accelerator"
_GKE_TPU = "cloud.google.com/gke-tpu-accelerator"
#: A3 Mega machines have a name of their own for the H100 (`nvidia-h100-mega-80gb` on `a3-megagpu-8g`).
_MEGA = "mega"
#: Labels that hold the number of devices in a machine, by platform (labels.json).
_COUNT_KEYS = {
    "gke": ("cloud.google.com/gke-accelerator-count",),
    "eks": ("karpenter.k8s.aws/instance-gpu-count", "eks.amazonaws.com/instance-gpu-count"),
}


def platform_profiles(
    wanted: Mapping[str, Collection[str]], platform: str | None = None
) -> tuple[NodeProfile, ...]:
    """The machines with accelerators that a platform has for required labels: `wanted` holds, by key, the
    values that will do.

    The platform is what the keys tell, unless it is given. Empty where neither they nor a machine type tell
    one. A profile is the best case of such a machine: pools may add labels and taints of their own, and the
    number of nodes is not known. The list of machines need not be complete: where none is known for cards
    that the platform has, one profile without any amounts stands for them.
    """
    types = [value for key in INSTANCE_TYPE_KEYS for value in wanted.get(key, ())]
    machines: list[InstanceType] = [one for value in types for one in instance_types_of_label(value)]
    if not types:
        platform = platform or platform_of(wanted)
        machines = [] if platform is None else list(instance_types_of(platform))
    told = candidates_of(wanted)
    ids = None if told is None else {gpu.slice_of or gpu.id for gpu in told.gpus}
    fitting = [one for one in machines if ids is None or ids & set(one.gpus)]
    if not fitting and not types and platform is not None and ids:
        fitting = [_unlisted(platform, tuple(sorted(ids)))]
    profiles = [_profile(machine, ids, wanted) for machine in fitting]
    return tuple(one for one in profiles if _has(one.node, wanted))


def _unlisted(platform: str, gpus: tuple[str, ...]) -> InstanceType:
    """A machine of which only the GPUs are known."""
    return InstanceType(
        type=f"{platform} nodes with {' or '.join(gpus)}",
        cloud="",
        platform=platform,
        label="",
        gpus=gpus,
        count=None,
        fraction=None,
        links=None,
        arch="",
        cpu=None,
        memory_gib=None,
        is_allocatable=False,
        resources={},
        note="",
        source="labels of the platform",
    )


def _has(node: Node, wanted: Mapping[str, Collection[str]]) -> bool:
    """Whether no label that is known of a machine contradicts what is wanted."""
    known = ((node.label_values(key), values) for key, values in wanted.items())
    return all(values is None or values & set(good) for values, good in known)


def _profile(
    machine: InstanceType, ids: Collection[str] | None, wanted: Mapping[str, Collection[str]]
) -> NodeProfile:
    cards = tuple(gpu for gpu in map(gpu_by_id, machine.gpus) if gpu is not None)
    cards = tuple(card for card in cards if ids is None or card.id in ids)
    resource = whole_resource(cards)
    platform = machine.platform
    labels = {"kubernetes.io/os": "linux"}
    if machine.label:
        labels |= {"kubernetes.io/arch": machine.arch, INSTANCE_TYPE: machine.label}
    options = label_options(cards, mig=None, mig_strategy="none", shared=False)
    if platform == "gke":
        labels |= _gke_labels(machine, cards)
    labels = {**_named_by_platform(machine, cards, wanted), **labels}
    if machine.count is not None:
        options |= {key: (str(machine.count),) for key in _COUNT_KEYS.get(platform or "", ())}
    amounts, bounds = _amounts(machine)
    node = Node(
        name=machine.type,
        labels=labels,
        taints=() if platform is None or resource is None else default_taints(platform, resource),
        allocatable=amounts,
        labels_complete=False,
        taints_complete=False,
        allocatable_complete=False,
        count=None,
        label_options={key: values for key, values in options.items() if key not in labels},
        upper_bounds=bounds,
        extended_resource_toleration=adds_resource_tolerations(platform),
    )
    whole = machine.fraction is None
    facts = GpuFacts(
        candidates=cards if whole else tuple(_part(card, machine.fraction or 1) for card in cards),
        certainty="exact",
        resource=resource,
        devices=machine.count if whole else None,
    )
    return NodeProfile(machine.type, node, "platform", facts, platform, source=machine.source)


def _named_by_platform(
    machine: InstanceType, cards: Collection[Gpu], wanted: Mapping[str, Collection[str]]
) -> dict[str, str]:
    """The wanted labels that the platform itself writes on nodes with these cards: where one card goes by
    several names, the pod's is the one that pools of such machines are made for."""
    labels: dict[str, str] = {}
    ids = {card.id for card in cards}
    for key, values in wanted.items():
        for value in values:
            meaning = label_meaning(key, value)
            if meaning is None or meaning.by != machine.platform or meaning.certainty != "exact":
                continue
            if ids & set(meaning.gpus or ()):
                labels.setdefault(key, value)
    return labels


def _gke_labels(machine: InstanceType, cards: Collection[Gpu]) -> dict[str, str]:
    """What GKE writes on nodes of a machine type: a value only where it is the only one for the cards."""
    labels = {}
    for key in (_GKE_ACCELERATOR, _GKE_TPU):
        values = [one for one in values_naming(key, cards) if (_MEGA in one) == (_MEGA in machine.type)]
        if len(values) == 1:
            labels[key] = values[0]
            if key == _GKE_ACCELERATOR and machine.count is not None:
                labels["cloud.google.com/gke-accelerator-count"] = str(machine.count)
    return labels


def _part(card: Gpu, fraction: float) -> Gpu:
    """A part of a card, as fractional machine types have it."""
    memory = None if card.memory_gib is None else round(card.memory_gib * fraction, 2)
    return replace(card, memory_gib=memory, memory_certainty="unknown" if memory is None else "derived")


def _amounts(machine: InstanceType) -> tuple[dict[str, Amount], frozenset[str]]:
    amounts: dict[str, Amount] = dict(machine.resources)
    given = {"cpu": machine.cpu, "memory": machine.memory_gib and machine.memory_gib * _GIB}
    for resource, number in given.items():
        amount = exact_quantity(f"{number:.3f}") if number else None
        if amount is not None:
            amounts[resource] = amount
    bounds = set() if machine.is_allocatable else amounts.keys() & given.keys()
    return amounts, frozenset(bounds)
