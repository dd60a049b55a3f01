"""What node labels say: which platform, and which GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import Any, Literal, TypeAlias

from vllmlint.facts.hardware import hardware_table
from vllmlint.hardware.gpu import Gpu
from vllmlint.hardware.gpus import find_gpu, gpu_by_id, gpu_ids, gpus_of_product, mig_slice, split_product
from vllmlint.hardware.instances import instance_types_of_label, platform_of_instance_type
from vllmlint.record import record
from vllmlint.regex import regex

PRODUCT = "nvidia.com/gpu.product"
MEMORY = "nvidia.com/gpu.memory"
FAMILY = "nvidia.com/gpu.family"
#: GKE cuts every GPU of a pool into this MIG profile, and hands the slices out as `nvidia.com/gpu`.
GKE_PARTITION = "cloud.google.com/gke-gpu-partition-size"
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
INSTANCE_TYPE_KEYS = (INSTANCE_TYPE, "beta.kubernetes.io/instance-type")
#: How far two readings of one card's memory lie apart: ECC and drivers move it (labels.json, gpu.memory);
#: the readings of one card in gpus.json differ by at most 2 %, but for ECC off, which adds 7 %.
_MEMORY_TOLERANCE = 0.02
_COMPUTE_CLASS = "cloud.google.com/compute-class"
_COUNT = regex(r"[-_][xs][0-9]+(?=[-_]|\Z)")
#: Keys of people's own vocabularies that speak of GPUs, as far as a name can tell.
_GPU_KEY = regex(r"gpu|accelerator|nvidia|card|device", re.IGNORECASE)

#: How sure a label's meaning is: read from code or documentation, seen in use, or guessed from its words.
Certainty: TypeAlias = Literal["exact", "likely", "guess"]
_ORDER: tuple[Certainty, ...] = ("exact", "likely", "guess")


@record
class LabelMeaning:
    """What one label says. `gpus` are the ids it leaves possible, None where it does not speak of models;
    `by` is who sets such labels (`gfd`, `gke`, `karpenter-aws`, …)."""

    key: str
    value: str
    by: str
    meaning: str
    gpus: tuple[str, ...] | None
    certainty: Certainty = "exact"
    note: str = ""
    source: str = ""


@cache
def _rows() -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in hardware_table("node_labels")["labels"]}


def is_known_label(key: str) -> bool:
    """Whether a label's key is in the vocabulary of a platform or component."""
    return key in _rows() or key in INSTANCE_TYPE_KEYS


@lru_cache(maxsize=4096)  # thousands of nodes share few labels
def label_meaning(key: str, value: str) -> LabelMeaning | None:
    """What a label says; None where the key is nobody's that is known and names no GPU.

    A value that is not in the table names no GPU for certain, but may be one all the same: its words are
    looked up among the GPUs' names, which is a guess.
    """
    row = _rows().get(INSTANCE_TYPE if key in INSTANCE_TYPE_KEYS else key)
    if row is None:
        return _own_vocabulary(key, value)
    gpus, certainty = _gpus_of(row, key, value)
    return LabelMeaning(
        key, value, row["by"], row["meaning"], gpus, certainty, row.get("note", ""), row["source"]
    )


def _gpus_of(row: dict[str, Any], key: str, value: str) -> tuple[tuple[str, ...] | None, Certainty]:
    if key == PRODUCT:
        return _of_product(row, value)
    if key == MEMORY:
        return _of_memory(value), "exact"
    if key == FAMILY:
        return _of_family(value), "exact"
    if key in INSTANCE_TYPE_KEYS:
        types = instance_types_of_label(value)
        return (tuple(dict.fromkeys(gpu for one in types for gpu in one.gpus)) if types else None), "exact"
    values: dict[str, list[str]] = row.get("values", {})
    if value in values:
        return tuple(values[value]) or None, "likely" if value in row.get("likely", ()) else "exact"
    if key == _COMPUTE_CLASS:  # a name of the user's own, often the card's with a count behind it
        return _named(_COUNT.sub("", value)), "guess"
    if not any(values.values()):  # a label that names no models
        return (_named(value) if row["by"] == "skypilot" else None), "likely"
    return _named(value), "guess"


def _of_product(row: dict[str, Any], value: str) -> tuple[tuple[str, ...] | None, Certainty]:
    model, profile, _ = split_product(value)
    certainty: Certainty = "exact"
    cards: Iterable[Gpu | None] = gpus_of_product(model)
    if not cards:
        ids = row["values"].get(model)
        certainty = "likely" if ids is not None else "guess"
        cards = map(gpu_by_id, ids) if ids is not None else find_gpu(model)
    found = [card for card in cards if card is not None]
    if profile is None or profile == "INVALID":
        return tuple(card.id for card in found) or None, certainty
    slices = (mig_slice(card, profile) for card in found)
    return tuple(one.id for one in slices if one is not None) or None, certainty


def _of_memory(value: str) -> tuple[str, ...] | None:
    """The cards, and MIG slices are none of them: on a node whose GPUs are cut the label is a slice's."""
    if not value.isdecimal() or len(value) > 9:
        return None
    found = []
    for gpu in map(gpu_by_id, gpu_ids()):
        if gpu is None or gpu.vendor != "nvidia":
            continue
        reading = gpu.driver_memory_mib
        if reading is None or abs(reading - int(value)) <= _MEMORY_TOLERANCE * reading:
            found.append(gpu.id)
    known = [gpu_by_id(one) for one in found]
    return tuple(found) if any(gpu is not None and gpu.driver_memory_mib for gpu in known) else None


def _of_family(value: str) -> tuple[str, ...] | None:
    cards = map(gpu_by_id, gpu_ids())
    return tuple(gpu.id for gpu in cards if gpu is not None and gpu.architecture == value) or None


def _named(value: str) -> tuple[str, ...] | None:
    return tuple(gpu.id for gpu in find_gpu(value)) or None


def _own_vocabulary(key: str, value: str) -> LabelMeaning | None:
    gpus = _named(value) if _GPU_KEY.search(key) else None
    if gpus is None:
        return None
    return LabelMeaning(key, value, "own", "a label of the cluster's own vocabulary", gpus, "guess")


@record
class GpuCandidates:
    """The GPUs that labels leave possible: `gpus` is empty where they contradict each other. `because` are
    the labels that told, `certainty` that of the weakest."""

    gpus: tuple[Gpu, ...]
    because: tuple[tuple[str, str], ...]
    certainty: Certainty

    @property
    def one(self) -> Gpu | None:
        """The GPU where only one is possible."""
        return self.gpus[0] if len(self.gpus) == 1 else None


def candidates_of(labels: Mapping[str, str | Iterable[str]]) -> GpuCandidates | None:
    """The GPUs of the nodes that carry these labels; None where no label speaks of GPUs.

    A value may be several, as `In` has them: any of them may hold. Labels that are known narrow what others
    leave open; guesses count only where nothing better is there.
    """
    facts: list[_Fact] = []
    for key, given in labels.items():
        fact = _fact(key, [given] if isinstance(given, str) else list(given))
        if fact is not None:
            facts.append(fact)
    known = [fact for fact in facts if fact.certainty != "guess"] or facts
    if any("/" in one for fact in known for one in fact.gpus):  # on a node of slices, this is a slice's
        known = [fact for fact in known if fact.key != MEMORY]
    if not known:
        return None
    partition = labels.get(GKE_PARTITION)
    return _cut(_intersection(known), partition if isinstance(partition, str) else None)


def _cut(told: GpuCandidates, profile: str | None) -> GpuCandidates:
    """The slices of the cards, where a label says that they are cut."""
    if profile is None:
        return told
    slices = [card if card.slice_of else mig_slice(card, profile) for card in told.gpus]
    because = (*told.because, (GKE_PARTITION, profile))
    return GpuCandidates(tuple(one for one in slices if one is not None), because, told.certainty)


@record
class _Fact:
    """What one label, or one requirement with several values, leaves possible."""

    key: str
    values: tuple[str, ...]
    gpus: tuple[str, ...]
    certainty: Certainty


def _fact(key: str, values: list[str]) -> _Fact | None:
    meanings = [meaning for meaning in (label_meaning(key, value) for value in values) if meaning is not None]
    sets = [meaning.gpus for meaning in meanings if meaning.gpus is not None]
    if not sets or len(sets) < len(values):  # a value that says nothing leaves everything open
        return None
    weakest = max((meaning.certainty for meaning in meanings), key=_ORDER.index)
    return _Fact(key, tuple(values), tuple(dict.fromkeys(one for ids in sets for one in ids)), weakest)


def _intersection(facts: list[_Fact]) -> GpuCandidates:
    facts = sorted(facts, key=lambda one: one.key == MEMORY)
    left = facts[0].gpus
    for fact in facts[1:]:
        narrowed = _narrowed(left, fact.gpus)
        # a card whose ECC is off has more memory than the table says, and stays the same card
        left = narrowed if narrowed or fact.key != MEMORY else left
    gpus = tuple(gpu for gpu in map(gpu_by_id, left) if gpu is not None)
    because = tuple((fact.key, ", ".join(fact.values)) for fact in facts)
    return GpuCandidates(gpus, because, max((fact.certainty for fact in facts), key=_ORDER.index))


def _narrowed(left: tuple[str, ...], right: tuple[str, ...]) -> tuple[str, ...]:
    """The ids that both sides leave: a slice and its card meet in the slice."""
    both = [one for one in left if one in right or one.partition("/")[0] in right]
    both += [one for one in right if "/" in one and one.partition("/")[0] in left]
    return tuple(dict.fromkeys(both))


def platform_of(labels: Iterable[str], instance_type: str | None = None) -> str | None:
    """The managed Kubernetes (`gke`, `eks`, …) that label keys or a machine type tell; None if none do,
    or if they contradict each other."""
    prefixes: dict[str, str] = hardware_table("node_labels")["platforms"]
    told = {name for key in labels for prefix, name in prefixes.items() if key.startswith(prefix)}
    if not told and instance_type is not None:
        platform = platform_of_instance_type(instance_type)
        told = set() if platform is None else {platform}
    return told.pop() if len(told) == 1 else None
