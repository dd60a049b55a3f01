"""A contract's `nodePools` from real nodes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from vllmlint.hardware.gpus import gpu_by_id, mig_profiles
from vllmlint.hardware.labels import INSTANCE_TYPE_KEYS, PRODUCT, candidates_of, is_known_label, label_meaning
from vllmlint.hardware.profile import (
    MIG_PREFIX,
    SHARED_SUFFIX,
    WHOLE_DEVICES,
    GpuFacts,
    NodeProfile,
    whole_resource,
)
from vllmlint.hardware.real_nodes import POOL_KEYS
from vllmlint.hardware.taints import known_taints
from vllmlint.kube.node import Amount, Taint
from vllmlint.record import record
from vllmlint.regex import regex

#: Labels that pods choose nodes by, besides those that name a GPU or the pool.
_CHOSEN_BY = frozenset(
    {
        "cloud.google.com/gke-spot",
        "cloud.google.com/gke-accelerator-count",
        "cloud.google.com/gke-gpu-partition-size",
        "cloud.google.com/gke-gpu-sharing-strategy",
        "cloud.google.com/gke-tpu-topology",
        "karpenter.sh/capacity-type",
        "kubernetes.io/arch",
        "eks.amazonaws.com/capacityType",
        "kubernetes.azure.com/scalesetpriority",
        "nvidia.com/gpu.present",
        "nvidia.com/gpu.count",
        "nvidia.com/mig.strategy",
    }
)
#: Labels of features and of components that nobody chooses nodes by.
_NOISE = regex(r"(^|\.)(kubernetes\.io|k8s\.io|nvidia\.com|amd\.com|intel\.com|node\.openshift\.io)/")
_NAME = regex(r"[^A-Za-z0-9]+")
_PLAIN = regex(r"[A-Za-z][A-Za-z0-9./_-]*\Z")
#: Plain words that YAML reads as something else.
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_MIB = 2**20


@record
class PoolDraft:
    """Nodes that one pool of a contract can stand for: `members` differ in nothing that it says."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    members: tuple[NodeProfile, ...]


def pool_drafts(profiles: Iterable[NodeProfile]) -> list[PoolDraft]:
    """The pools that nodes with GPUs make up: equal in GPUs, taints and the labels that pods choose by."""
    groups: dict[object, list[NodeProfile]] = {}
    for profile in profiles:
        if profile.gpu is not None:
            groups.setdefault(_identity(profile, profile.gpu), []).append(profile)
    drafts: list[PoolDraft] = []
    for members in groups.values():
        labels, taints = _labels(members[0]), _taints(members[0])
        name = _free(_name(members[0]), {draft.name for draft in drafts})
        drafts.append(PoolDraft(name, labels, taints, tuple(members)))
    return drafts


def _identity(profile: NodeProfile, gpu: GpuFacts) -> object:
    return (
        tuple(sorted(_labels(profile).items())),
        tuple(map(str, _taints(profile))),
        tuple(card.id for card in gpu.candidates),
        (gpu.devices, gpu.sharing, gpu.replicas, gpu.mig_strategy),
        tuple(sorted(gpu.mig_profiles.items())),
        tuple(sorted(_more_resources(profile).items())),
    )


def _labels(profile: NodeProfile) -> dict[str, str]:
    return {key: value for key, value in sorted(profile.node.labels.items()) if _is_chosen_by(key, value)}


def _is_chosen_by(key: str, value: str) -> bool:
    if key in _CHOSEN_BY or key in POOL_KEYS or key == INSTANCE_TYPE_KEYS[0]:
        return True
    if is_known_label(key):
        # what names the model is what pods ask for, whether the value is known or not
        meaning = label_meaning(key, value)
        names_gpu = meaning is not None and meaning.gpus is not None
        return key == PRODUCT or (names_gpu and not key.startswith("nvidia.com/"))
    return not _NOISE.search(key)


def _taints(profile: NodeProfile) -> tuple[Taint, ...]:
    """The taints of the pool, not those of a node's state."""
    return tuple(
        taint
        for taint in profile.node.taints
        if not any(row.by == "condition" for row in known_taints(taint.key))
    )


def _more_resources(profile: NodeProfile) -> dict[str, int]:
    """Extended resources that the pool's `gpu` does not stand for: network cards, MIG slices, and the devices
    themselves where nothing says whose they are."""
    stated = profile.gpu is not None and whole_resource(profile.gpu.candidates) is not None
    slices = profile.gpu is not None and _uniform_profile(profile.gpu) is None
    found = {}
    for name, amount in profile.node.allocatable.items():
        device = stated and name.removesuffix(SHARED_SUFFIX) in WHOLE_DEVICES
        if "/" in name and not device and (slices or not name.startswith(MIG_PREFIX)) and amount:
            found[name] = int(amount)
    return found


def _name(profile: NodeProfile) -> str:
    pool = next((profile.node.labels[key] for key in POOL_KEYS if profile.node.labels.get(key)), None)
    gpu = profile.gpu
    if pool is None and gpu is not None:
        pool = gpu.one.id if gpu.one is not None else next((v for k, v in _told_by(profile)), None)
    return _NAME.sub("-", pool or "gpu").strip("-").lower() or "gpu"


def _told_by(profile: NodeProfile) -> Sequence[tuple[str, str]]:
    told = candidates_of(profile.node.labels)
    return () if told is None else told.because


def _free(name: str, taken: set[str]) -> str:
    number, one = 1, name
    while one in taken:
        number += 1
        one = f"{name}-{number}"
    return one


def pools_text(drafts: Sequence[PoolDraft]) -> str:
    """The section `nodePools` of a contract; empty where there are no pools."""
    if not drafts:
        return ""
    lines = ["nodePools:  # from the nodes; add spareGpus, and nodes where the pool can grow"]
    for draft in drafts:
        lines += [f"  {_scalar(draft.name)}:", *(f"    {line}" for line in _pool_lines(draft))]
    return "\n".join(lines)


def _pool_lines(draft: PoolDraft) -> list[str]:
    first = draft.members[0]
    gpu = first.gpu
    lines: list[str] = []
    if draft.labels:
        lines += [
            "labels:",
            *(f"  {_scalar(key)}: {json.dumps(value)}" for key, value in draft.labels.items()),
        ]
    if draft.taints:
        lines += ["taints:", *(f"  - {_taint(taint)}" for taint in draft.taints)]
    if gpu is not None:
        lines += [*_gpu_lines(gpu), *_share_lines(gpu)]
    lines.append(f"nodes: {sum(member.node.count or 1 for member in draft.members)}")
    for key, resource in (("cpu", "cpu"), ("memory", "memory"), ("ephemeralStorage", "ephemeral-storage")):
        amounts = [
            member.node.allocatable[resource]
            for member in draft.members
            if resource in member.node.allocatable
        ]
        if amounts:
            lines.append(f"{key}: {_quantity(min(amounts), resource)}")
    more = _more_resources(first)
    if more:
        lines.append(
            f"resources: {{{', '.join(f'{_scalar(name)}: {n}' for name, n in sorted(more.items()))}}}"
        )
    if gpu is not None and gpu.driver is not None and _all_same(m.gpu.driver for m in draft.members if m.gpu):
        lines.append(f"driver: {json.dumps(gpu.driver)}")
    if first.platform is not None:
        lines.append(f"platform: {first.platform}")
    versions = [member.node.kubernetes_version for member in draft.members]
    known = [version for version in versions if version is not None]
    if known and len(known) == len(versions):
        lines.append(f'kubernetes: "{min(known)[0]}.{min(known)[1]}"')
    return lines


def _stated_card(gpu: GpuFacts) -> str | None:
    """The card that a pool states: the only one that is possible, and no guess."""
    cards = list(dict.fromkeys(card.slice_of or card.id for card in gpu.candidates))
    return cards[0] if len(cards) == 1 and gpu.certainty != "guess" else None


def _gpu_lines(gpu: GpuFacts) -> list[str]:
    cards = list(dict.fromkeys(card.slice_of or card.id for card in gpu.candidates))
    stated = _stated_card(gpu)
    if stated is not None:
        lines = [f"gpu: {stated}"]
        card = gpu.candidates[0]
        table = gpu_by_id(card.id)
        if table is not None and table.memory_gib != card.memory_gib and card.memory_gib is not None:
            lines.append(f"gpuMemoryGib: {card.memory_gib}  # as the nodes read it")
    elif len(cards) == 1:
        lines = [f"# gpu: {cards[0]}  # by the words of a label: state it where that is right"]
    elif cards:
        lines = [f"# gpu: one of {', '.join(cards)}; the labels do not tell"]
    else:
        lines = ["# gpu: unknown; the labels do not tell"]
    per_node = _gpus_per_node(gpu)
    return lines if per_node is None else [*lines, f"gpusPerNode: {per_node}"]


def _uniform_profile(gpu: GpuFacts) -> str | None:
    """The profile that every GPU is cut into, where it is one and there are no whole GPUs beside it."""
    if len(gpu.mig_profiles) != 1 or (gpu.mig_strategy == "mixed" and gpu.devices):
        return None
    (profile,) = gpu.mig_profiles
    return profile if _slots(gpu, profile) is not None else None


def _slots(gpu: GpuFacts, profile: str) -> int | None:
    """How many slices of a profile one card of the node holds, where all of it is cut."""
    card = gpu.one and gpu_by_id(gpu.one.slice_of or gpu.one.id)
    slots = mig_profiles(card).get(profile) if card else None
    return slots if slots and gpu.mig_profiles.get(profile, 0) % slots == 0 else None


def _gpus_per_node(gpu: GpuFacts) -> int | None:
    profile = _uniform_profile(gpu)
    if profile is not None:
        return gpu.mig_profiles[profile] // (_slots(gpu, profile) or 1)
    return None if gpu.mig_strategy == "single" else gpu.devices


def _share_lines(gpu: GpuFacts) -> list[str]:
    lines = []
    profile = _uniform_profile(gpu)
    if profile is not None:
        lines += [f"mig: {profile}", f"migStrategy: {gpu.mig_strategy}"]
    elif gpu.mig_strategy == "single":
        lines.append("# cut into slices that do not fill its GPUs: mig and gpusPerNode are left to you")
    if gpu.sharing != "none" and gpu.replicas > 1:
        strategy = "time-slicing" if gpu.sharing == "unknown" else gpu.sharing
        doubt = "  # or mps: no label tells" if gpu.sharing == "unknown" else ""
        parts = [f"strategy: {strategy}", f"replicas: {gpu.replicas}"]
        if gpu.renamed:
            parts.append("renameByDefault: true")
        if gpu.max_per_container == 1:
            parts.append("failRequestsGreaterThanOne: true")
        lines.append(f"sharing: {{{', '.join(parts)}}}{doubt}")
    return lines


def _taint(taint: Taint) -> str:
    value = f", value: {json.dumps(taint.value)}" if taint.value else ""
    return f"{{key: {_scalar(taint.key)}{value}, effect: {taint.effect}}}"


def _quantity(amount: Amount, resource: str) -> str:
    """An amount as a quantity that is not above it."""
    if resource == "cpu":
        return str(amount) if isinstance(amount, int) else f"{int(Fraction(amount) * 1000)}m"
    return f"{int(amount) // _MIB}Mi"


def _scalar(text: str) -> str:
    return text if _PLAIN.match(text) and text.lower() not in _WORDS else json.dumps(text)


def _all_same(values: Iterable[str | None]) -> bool:
    return len(set(values)) == 1
