"""Node profiles from the pools that a contract describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from vllmlint.hardware.gpu import Gpu
from vllmlint.hardware.gpus import find_gpu, gpu_by_id, mig_profiles
from vllmlint.hardware.instances import InstanceType, instance_type
from vllmlint.hardware.label_values import label_options
from vllmlint.hardware.labels import INSTANCE_TYPE, Certainty, candidates_of, is_known_label, platform_of
from vllmlint.hardware.profile import (
    DEVICE_PREFIXES,
    MIG_PREFIX,
    SHARED_SUFFIX,
    WHOLE_DEVICES,
    GpuFacts,
    NodeProfile,
    slices_of,
    whole_resource,
)
from vllmlint.hardware.taints import adds_resource_tolerations
from vllmlint.kube.node import Amount, Node, Taint, minor_version
from vllmlint.kube.quantity import exact_quantity
from vllmlint.record import replace

if TYPE_CHECKING:
    from vllmlint.contract.settings import NodePool

#: A stated memory narrows the cards to those whose own is this near: cards of one name differ by 15 % at
#: least (H100 of 80 and 94 GB), readings of one card by 2 % at most (vllm-memory.md 2.7).
_SAME_MEMORY = 0.05
_GIB = 2**30
_SHARED_GPU = "nvidia.com/gpu.shared"
#: Domains of labels that components set on their own, whatever a contract says of a pool.
_COMPONENT_DOMAINS = ("kubernetes.io/", "k8s.io/", "nvidia.com/", "amd.com/", "intel.com/")


def pool_profiles(pools: Mapping[str, NodePool]) -> tuple[NodeProfile, ...]:
    """A profile for each pool of a contract.

    A key of the cluster's own vocabulary that one pool's labels have is known to be absent from pools that
    state labels without it; labels that platforms and components set may be there unsaid.
    """
    own = {key for pool in pools.values() for key in pool.labels if not _may_be_unsaid(key)}
    return tuple(pool_profile(name, pool, frozenset(own)) for name, pool in pools.items())


def _may_be_unsaid(key: str) -> bool:
    domain = key.partition("/")[0] + "/"
    return is_known_label(key) or domain.endswith(_COMPONENT_DOMAINS) or platform_of([key]) is not None


def pool_profile(name: str, pool: NodePool, own_labels: frozenset[str] = frozenset()) -> NodeProfile:
    """The profile of one pool; `own_labels` are the keys of the cluster's own vocabulary."""
    machine = None if pool.instance_type is None else instance_type(pool.instance_type)
    gpu = _gpu_facts(pool, machine)
    labels = {"kubernetes.io/os": "linux", **pool.labels}
    if pool.instance_type is not None:
        labels.setdefault(INSTANCE_TYPE, pool.instance_type)
    if machine is not None:
        labels.setdefault("kubernetes.io/arch", machine.arch)
    platform = pool.platform or platform_of(labels, labels.get(INSTANCE_TYPE))
    amounts, bounds = _amounts(pool, machine, gpu)
    options = {} if gpu is None else _options(pool, gpu)
    node = Node(
        name=name,
        labels=labels,
        taints=tuple(Taint(taint.key, taint.value, taint.effect) for taint in pool.taints),
        allocatable=amounts,
        kubernetes_version=None if pool.kubernetes is None else minor_version(pool.kubernetes),
        labels_complete=False,
        allocatable_complete=False,
        count=pool.nodes,
        label_options={key: values for key, values in options.items() if key not in labels},
        absent_labels=own_labels - labels.keys() if pool.labels else frozenset(),
        upper_bounds=bounds,
        absent_resources=_absent_resources(pool, gpu),
        extended_resource_toleration=adds_resource_tolerations(platform),
    )
    return NodeProfile(
        name, node, "contract", gpu, platform, pool.spare_gpus, f"nodePools.{name} of the contract"
    )


def _gpu_facts(pool: NodePool, machine: InstanceType | None) -> GpuFacts | None:
    cards, certainty = _cards(pool, machine)
    devices = pool.gpus_per_node
    if devices is None and machine is not None and (machine.fraction is None):
        devices = machine.count
    if devices == 0 or (not cards and devices is None):
        return None
    sharing = pool.sharing
    strategy: Literal["none", "single", "mixed", "unknown"] = "none"
    slices: dict[str, int] = {}
    if pool.mig is not None:
        strategy = pool.mig_strategy or "unknown"
        per_gpu = {
            mig_profiles(card).get(profile) for card in cards for profile in [_profile(card, pool.mig)]
        }
        slots = per_gpu.pop() if len(per_gpu) == 1 else None
        slices = {pool.mig: devices * slots} if devices is not None and slots is not None else {}
        if strategy == "single":
            cards, devices = slices_of(cards, pool.mig), slices.get(pool.mig)
    return GpuFacts(
        candidates=tuple(_as_stated(card, pool) for card in cards),
        certainty=certainty,
        resource=whole_resource(cards),
        devices=devices,
        sharing="none" if sharing is None else sharing.strategy,
        replicas=1 if sharing is None else sharing.replicas,
        renamed=sharing is not None and sharing.rename_by_default,
        mig_strategy=strategy,
        mig_profiles=slices,
        max_per_container=1 if sharing is not None and sharing.fail_requests_greater_than_one else None,
        driver=pool.driver,
    )


def _profile(card: Gpu, profile: str) -> str:
    """A profile as the card's geometry spells it."""
    part = next(iter(slices_of([card], profile)), None)
    return profile if part is None or part.mig_profile is None else part.mig_profile


def _cards(
    pool: NodePool, machine: InstanceType | None
) -> tuple[tuple[Gpu, ...], Literal["stated", "unknown"] | Certainty]:
    """The cards that a pool may have: as stated, as its machine type has them, or as its labels name them;
    each narrows what the one before leaves open."""
    sets: list[tuple[tuple[Gpu, ...], Literal["stated"] | Certainty]] = []
    if pool.gpu is not None:
        sets.append((find_gpu(pool.gpu) or _unknown_card(pool.gpu, pool.gpu_memory_gib), "stated"))
    if machine is not None:
        sets.append((tuple(gpu for gpu in map(gpu_by_id, machine.gpus) if gpu is not None), "exact"))
    told = candidates_of(pool.labels)
    if told is not None:
        sets.append((told.gpus, told.certainty))
    sets = [one for one in sets if one[0]]
    if not sets:
        return (), "unknown"
    cards, certainty = sets[0]
    for others, _ in sets[1:]:
        ids = {gpu.id for gpu in others}
        cards = tuple(card for card in cards if card.id in ids) or cards
    stated = pool.gpu_memory_gib
    if stated is not None and pool.mig is None:
        near = [card for card in cards if card.memory_gib and _is_near(card.memory_gib, stated)]
        cards = tuple(near) or cards
    return cards, certainty


def _unknown_card(name: str, memory_gib: float | None) -> tuple[Gpu, ...]:
    """A card of which only a name and its memory are known, where the latter is."""
    if memory_gib is None:
        return ()
    return (Gpu(name, name, "", memory_gib, memory_certainty="stated", name=name, source="the contract"),)


def _is_near(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME_MEMORY * other


def _as_stated(card: Gpu, pool: NodePool) -> Gpu:
    """A card with what the contract says of it in place of its profile's."""
    if pool.gpu_memory_gib is not None:
        card = replace(card, memory_gib=pool.gpu_memory_gib, memory_certainty="stated")
    if pool.interconnect is not None and card.slice_of is None:
        card = replace(card, interconnect=pool.interconnect)
    return card


def _options(pool: NodePool, gpu: GpuFacts) -> dict[str, tuple[str, ...]]:
    if gpu.certainty == "guess":
        return {}
    cards = [gpu_by_id(card.slice_of) or card if card.slice_of else card for card in gpu.candidates]
    sharing = pool.sharing
    return label_options(
        cards,
        mig=pool.mig,
        mig_strategy=gpu.mig_strategy,
        shared=sharing is not None and sharing.replicas > 1 and not sharing.rename_by_default,
    )


def _amounts(
    pool: NodePool, machine: InstanceType | None, gpu: GpuFacts | None
) -> tuple[dict[str, Amount], frozenset[str]]:
    """What a node of the pool offers, and which of it is capacity: less of that is allocatable."""
    amounts: dict[str, Amount] = {}
    stated = {"cpu": pool.cpu, "memory": pool.memory, "ephemeral-storage": pool.ephemeral_storage}
    for resource, text in stated.items():
        amount = None if text is None else exact_quantity(text)
        if amount is not None:
            amounts[resource] = amount
    bounds = set(amounts)
    if machine is not None:
        given = {"cpu": machine.cpu, "memory": machine.memory_gib and machine.memory_gib * _GIB}
        for resource, number in given.items():
            if number and resource not in amounts:
                amounts[resource] = exact_quantity(f"{number:.3f}") or 0
                bounds |= set() if machine.is_allocatable else {resource}
    for resource, text in pool.resources.items():
        amount = exact_quantity(text)
        if amount is not None:
            amounts[resource] = amount
    for resource, count in _device_amounts(pool, gpu).items():
        amounts.setdefault(resource, count)
    return amounts, frozenset(bounds)


def _device_amounts(pool: NodePool, gpu: GpuFacts | None) -> dict[str, int]:
    """What the device plugin advertises (scheduling.md 6), and which devices the nodes surely lack: a pool
    with one kind of GPU has none of another kind."""
    if pool.gpus_per_node == 0:
        return dict.fromkeys(WHOLE_DEVICES, 0)
    if gpu is None or gpu.resource is None or gpu.mig_strategy == "unknown":
        return {}
    absent = {name: 0 for name in (*WHOLE_DEVICES, _SHARED_GPU) if name != gpu.resource}
    suffix = SHARED_SUFFIX if pool.sharing is not None and pool.sharing.rename_by_default else ""
    if gpu.mig_strategy == "mixed":
        counts = {f"{MIG_PREFIX}{name.replace('+', '.')}{suffix}": n for name, n in gpu.mig_profiles.items()}
        return {**absent, gpu.resource: 0, **{name: count * gpu.replicas for name, count in counts.items()}}
    here = {f"{gpu.resource}{suffix}": gpu.devices * gpu.replicas} if gpu.devices is not None else {}
    if suffix:
        absent[gpu.resource] = 0
        absent.pop(_SHARED_GPU)
    return {**absent, **here}


def _absent_resources(pool: NodePool, gpu: GpuFacts | None) -> tuple[str, ...]:
    """Beginnings of the names of devices that the nodes surely do not offer."""
    if pool.gpus_per_node == 0:
        return DEVICE_PREFIXES
    if gpu is None or gpu.resource is None or gpu.mig_strategy == "unknown":
        return ()
    # a card of a vendor offers none of another's devices
    maker = gpu.resource.partition("/")[0]
    others = tuple(one for one in DEVICE_PREFIXES if not one.startswith(f"{maker}/"))
    return others if gpu.mig_strategy == "mixed" and not gpu.mig_profiles else (*others, MIG_PREFIX)
