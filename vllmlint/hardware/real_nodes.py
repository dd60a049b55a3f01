"""Node profiles from real nodes: what their labels and resources say of the GPUs inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log
from typing import Literal

from vllmlint.facts.hardware import hardware_table
from vllmlint.hardware.gpu import Gpu
from vllmlint.hardware.gpus import split_product
from vllmlint.hardware.labels import (
    GKE_PARTITION,
    INSTANCE_TYPE_KEYS,
    MEMORY,
    PRODUCT,
    candidates_of,
    is_known_label,
    platform_of,
)
from vllmlint.hardware.profile import (
    MIG_PREFIX,
    SHARED_SUFFIX,
    WHOLE_DEVICES,
    GpuFacts,
    NodeProfile,
    whole_resource,
)
from vllmlint.hardware.taints import adds_resource_tolerations
from vllmlint.kube.node import Amount, Node
from vllmlint.record import replace

_MIG_STRATEGY = "nvidia.com/mig.strategy"
_SHARING = "nvidia.com/gpu.sharing-strategy"
_REPLICAS = "nvidia.com/gpu.replicas"
_GKE_SHARING = "cloud.google.com/gke-gpu-sharing-strategy"
_GKE_CLIENTS = "cloud.google.com/gke-max-shared-clients-per-gpu"
_GKE_STRATEGIES: dict[str | None, Literal["time-slicing", "mps"]] = {
    "time-sharing": "time-slicing",
    "mps": "mps",
}
_DRIVER_KEYS = ("nvidia.com/cuda.driver-version.full", "amd.com/gpu.driver-version")
_CUDA_KEYS = ("nvidia.com/cuda.runtime-version.full",)
#: Labels that name the pool a node belongs to, by platform (labels.json).
POOL_KEYS = (
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "karpenter.sh/nodepool",
    "kubernetes.azure.com/agentpool",
    "agentpool",
    "doks.digitalocean.com/node-pool",
)
#: What a contract's pool carries without being asked.
_OF_EVERY_NODE = {"kubernetes.io/os": "linux"}
#: A card's readings differ less than this; more than it is another setting (ECC) and not this table's card.
_SAME_READING = 0.005
#: Cards on one board; a node that advertises more units hands out parts of cards (AMD partitions: 64 on a
#: node of eight, scheduling.md 6.4).
_CARDS_PER_NODE = 8
#: Amounts that no two machines of a kind read alike, and how far apart (as a logarithm) they may be for one
#: group: a pod whose request lies between them is held against each member.
_READ_BY_KUBELET = frozenset({"memory", "ephemeral-storage"})
_ALIKE = 0.01
#: With so many nodes, a label that is different on each of them is the node's own, not its pool's.
_ENOUGH_NODES = 3


def node_profiles(nodes: Sequence[Node], source: str = "") -> tuple[NodeProfile, ...]:
    """Profiles of real nodes, equal nodes as one; `source` is where they were read."""
    groups = group_nodes(nodes)
    names = _names([_name_of(node) for node in groups])
    return tuple(node_profile(node, name, source) for node, name in zip(groups, names, strict=True))


def _names(wanted: Sequence[str]) -> list[str]:
    """The names, each once: a second `a100` is `a100-2`."""
    taken: set[str] = set()
    names = []
    for name in wanted:
        number, one = 1, name
        while one in taken:
            number += 1
            one = f"{name}-{number}"
        taken.add(one)
        names.append(one)
    return names


def _name_of(node: Node) -> str:
    """A group's name: its pool's where a label says so, else the node's."""
    return next((node.labels[key] for key in POOL_KEYS if node.labels.get(key)), node.name)


def node_profile(node: Node, name: str | None = None, source: str = "") -> NodeProfile:
    """The profile of a real node, or of a group of equal ones."""
    kind = next((node.labels[key] for key in INSTANCE_TYPE_KEYS if key in node.labels), None)
    platform = platform_of(node.labels, kind)
    known = replace(node, extended_resource_toleration=adds_resource_tolerations(platform))
    shown = node.name if node.count == 1 else f"{node.count} nodes such as {node.name}"
    return NodeProfile(
        name or node.name,
        known,
        "nodes-file",
        _gpu_facts(node),
        platform,
        source=f"{shown} of {source}" if source else shown,
    )


def narrowed_by_pools(profile: NodeProfile, pools: Iterable[NodeProfile]) -> NodeProfile:
    """A real node's profile with what a contract says of nodes like it: the GPUs of the pool whose labels it
    carries, where its own labels leave several open or are guessed at."""
    gpu = profile.gpu
    if gpu is None or (gpu.one is not None and gpu.certainty != "guess"):
        return profile
    ids = {card.id for card in gpu.candidates}
    for pool in pools:
        stated = pool.node.labels.items() - _OF_EVERY_NODE.items()
        if pool.gpu is None or pool.gpu.certainty == "guess" or not pool.gpu.candidates or not stated:
            continue
        if stated <= profile.node.labels.items():
            cards = [card for card in pool.gpu.candidates if card.id in ids] or list(pool.gpu.candidates)
            narrowed = replace(gpu, candidates=tuple(cards), certainty=pool.gpu.certainty)
            return replace(profile, gpu=narrowed)
    return profile


def _gpu_facts(node: Node) -> GpuFacts | None:
    """What is known of a node's GPUs; None for a node without any."""
    told = candidates_of(node.labels)
    advertised = {name: int(amount) for name, amount in node.allocatable.items() if _is_device(name)}
    if told is None and not any(advertised.values()):
        return None
    cards = () if told is None else told.gpus
    strategy = _mig_strategy(node.labels, advertised)
    replicas = max(_number(node.labels.get(_REPLICAS) or node.labels.get(_GKE_CLIENTS)) or 1, 1)
    resource = whole_resource(cards) or next(
        (name for name in WHOLE_DEVICES if name in advertised or f"{name}{SHARED_SUFFIX}" in advertised), None
    )
    units = None if resource is None else _units(resource, advertised)
    devices = None if units is None else units // replicas
    if devices is not None and resource == "amd.com/gpu" and devices > _CARDS_PER_NODE:
        cards = ()  # partitions of cards: what each has is not known
    return GpuFacts(
        candidates=tuple(_with_reading(card, _number(node.labels.get(MEMORY))) for card in cards),
        certainty="unknown" if told is None or not cards else told.certainty,
        resource=resource,
        devices=devices,
        sharing=_sharing(node.labels, advertised, replicas),
        replicas=replicas,
        renamed=any(name.endswith(SHARED_SUFFIX) and amount for name, amount in advertised.items()),
        mig_strategy=strategy,
        mig_profiles=_mig_profiles(node.labels, advertised, strategy, devices),
        max_per_container=1 if node.labels.get(_GKE_SHARING) in _GKE_STRATEGIES else None,
        driver=next((node.labels[key] for key in _DRIVER_KEYS if key in node.labels), None),
        cuda=next((node.labels[key] for key in _CUDA_KEYS if key in node.labels), None),
    )


def _is_device(resource: str) -> bool:
    return resource.removesuffix(SHARED_SUFFIX) in WHOLE_DEVICES or resource.startswith(MIG_PREFIX)


def _units(resource: str, advertised: Mapping[str, int]) -> int | None:
    found = [advertised[name] for name in (resource, f"{resource}{SHARED_SUFFIX}") if name in advertised]
    return max(found) if found else None


def _mig_strategy(labels: Mapping[str, str], advertised: Iterable[str]) -> Literal["none", "single", "mixed"]:
    """GFD writes the label only where there is a strategy (scheduling.md 6.2)."""
    if labels.get(_MIG_STRATEGY) == "mixed" or any(name.startswith(MIG_PREFIX) for name in advertised):
        return "mixed"
    return "single" if _single_profile(labels) is not None else "none"


def _single_profile(labels: Mapping[str, str]) -> str | None:
    """The profile that all GPUs of a node are cut into (`INVALID` where they are not alike)."""
    return labels.get(GKE_PARTITION) or split_product(labels.get(PRODUCT, ""))[1]


def _mig_profiles(
    labels: Mapping[str, str], advertised: Mapping[str, int], strategy: str, devices: int | None
) -> dict[str, int]:
    """The node's slices by profile, before sharing multiplies them."""
    if strategy == "single":
        profile = _single_profile(labels)
        return {profile: devices} if profile is not None and profile != "INVALID" and devices else {}
    profiles = {}
    for name, amount in advertised.items():
        if name.startswith(MIG_PREFIX):
            profile = name.removeprefix(MIG_PREFIX).removesuffix(SHARED_SUFFIX)
            replicas = _number(labels.get(f"{MIG_PREFIX}{profile}.replicas")) or 1
            profiles[profile] = amount // max(replicas, 1)
    return profiles


def _sharing(
    labels: Mapping[str, str], advertised: Iterable[str], replicas: int
) -> Literal["none", "time-slicing", "mps", "unknown"]:
    if labels.get(_GKE_SHARING) in _GKE_STRATEGIES:
        return _GKE_STRATEGIES[labels[_GKE_SHARING]]
    if labels.get(_SHARING) == "time-slicing":
        return "time-slicing"
    if labels.get(_SHARING) == "mps":
        return "mps"
    shared = replicas > 1 or split_product(labels.get(PRODUCT, ""))[2]
    shared = shared or any(name.endswith(SHARED_SUFFIX) for name in advertised)
    return "unknown" if shared else "none"


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else None


def _with_reading(card: Gpu, reading_mib: int | None) -> Gpu:
    """A card with the memory that its node reads, where that is not the table's: ECC that is off, for one."""
    known = card.driver_memory_mib
    if not reading_mib or card.slice_of is not None or card.vendor != "nvidia":
        return card
    if known is not None and abs(reading_mib - known) <= _SAME_READING * known:
        return card
    reserve: float = hardware_table("gpus")["driver_reserve_gib"]
    memory = round(reading_mib / 1024 - reserve, 2)
    return replace(card, memory_gib=memory, memory_certainty="derived", driver_memory_mib=reading_mib)


def group_nodes(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Equal nodes as one, in order of their first member.

    Two nodes are equal when everything but what is a node's own is: its name, the labels that repeat it, and
    labels outside every known vocabulary that are different on each node. A group keeps those of each member,
    and the amounts of memory and disk, which may differ by a hundredth.
    """
    own = _own_labels(nodes)
    groups: dict[object, list[Node]] = {}
    for node in nodes:
        groups.setdefault(_identity(node, own), []).append(node)
    return tuple(_merged(members, own) for members in groups.values())


def _own_labels(nodes: Sequence[Node]) -> frozenset[str]:
    seen: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    repeats: dict[str, bool] = {}
    for node in nodes:
        for key, value in node.labels.items():
            seen.setdefault(key, set()).add(value)
            counts[key] = counts.get(key, 0) + 1
            repeats[key] = repeats.get(key, True) and value == node.name
    return frozenset(
        key
        for key, values in seen.items()
        if repeats[key] or (len(values) == counts[key] >= _ENOUGH_NODES and not is_known_label(key))
    )


def _identity(node: Node, own: frozenset[str]) -> object:
    return (
        tuple(sorted(item for item in node.labels.items() if item[0] not in own)),
        tuple(sorted(key for key in node.labels if key in own)),
        tuple((taint.key, taint.value, taint.effect) for taint in node.taints),
        node.unschedulable,
        tuple(sorted((key, _about(key, amount)) for key, amount in node.allocatable.items())),
        node.kubernetes_version,
        node.upper_bounds,
        id(node.resource_slices) if node.resource_slices else None,
    )


def _about(resource: str, amount: Amount) -> object:
    """An amount, for memory and disks to about a hundredth: the kubelets of equal machines read them some
    KiB apart."""
    return int(log(amount) / _ALIKE) if resource in _READ_BY_KUBELET and amount > 0 else amount


def _merged(members: Sequence[Node], own: frozenset[str]) -> Node:
    first = members[0]
    if len(members) == 1:
        return first
    varying = {key: tuple(node.labels[key] for node in members) for key in first.labels if key in own}
    labels = {key: value for key, value in first.labels.items() if key not in own}
    names = tuple(node.name for node in members)
    amounts = {
        key: values
        for key in first.allocatable
        if key in _READ_BY_KUBELET
        and len(set(values := tuple(node.allocatable[key] for node in members))) > 1
    }
    return replace(
        first,
        labels=labels,
        allocatable={**first.allocatable, **{key: min(values) for key, values in amounts.items()}},
        varying_labels=varying,
        varying_amounts=amounts,
        names=names,
        count=len(members),
    )
