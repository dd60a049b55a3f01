"""What labels may say on nodes whose GPUs are known, but whose labels are not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vllmlint.facts.hardware import hardware_table
from vllmlint.hardware.gpu import Gpu
from vllmlint.hardware.labels import FAMILY, PRODUCT
from vllmlint.hardware.profile import product_labels

#: Labels whose values a platform sets from a closed list that the table holds in full.
_CLOSED_LISTS = (
    "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
    "eks.amazonaws.com/instance-gpu-name",
)
_ARCHITECTURES = ("amd64", "arm64")


def label_options(
    cards: Sequence[Gpu], *, mig: str | None, mig_strategy: str, shared: bool | None
) -> dict[str, tuple[str, ...]]:
    """The values that labels have on nodes with one of these cards, where they are there at all.

    Only labels whose values follow from the card for certain. `shared` None: it is not known whether
    replicas share the cards.
    """
    if not cards:
        return {}
    options: dict[str, tuple[str, ...]] = {}
    products = _products(cards, mig, mig_strategy, shared)
    if products is not None:
        options[PRODUCT] = products
    if all(card.vendor == "nvidia" and card.architecture for card in cards):
        options[FAMILY] = tuple(dict.fromkeys(str(card.architecture) for card in cards))
    capabilities = [card.compute_capability for card in cards]
    known = [one for one in capabilities if one is not None]
    if len(known) == len(capabilities):
        options["nvidia.com/gpu.compute.major"] = tuple(dict.fromkeys(str(major) for major, _ in known))
        options["nvidia.com/gpu.compute.minor"] = tuple(dict.fromkeys(str(minor) for _, minor in known))
    for key in _CLOSED_LISTS:
        values = values_naming(key, cards)
        if values:
            options[key] = values
    options["kubernetes.io/arch"] = tuple(dict.fromkeys(a for card in cards for a in _architectures(card)))
    return options


def _products(
    cards: Sequence[Gpu], mig: str | None, mig_strategy: str, shared: bool | None
) -> tuple[str, ...] | None:
    """The product labels; None where a driver's name is not known, or the cards are none of NVIDIA's."""
    if not all(card.products for card in cards):
        return None
    profiles = {"single": [mig], "unknown": [None, mig]}.get(mig_strategy, [None])
    sharing = [False, True] if shared is None else [shared]
    found = [product_labels(cards, mig=one, shared=two) for one in profiles for two in sharing]
    return tuple(dict.fromkeys(label for labels in found for label in labels))


def _architectures(card: Gpu) -> tuple[str, ...]:
    return _ARCHITECTURES if card.host_arch is None else (card.host_arch,)


def values_naming(key: str, cards: Iterable[Gpu]) -> tuple[str, ...]:
    """The values of a label that name one of these cards for certain."""
    wanted = {card.slice_of or card.id for card in cards}
    rows: list[dict[str, Any]] = hardware_table("node_labels")["labels"]
    row: dict[str, Any] = next((row for row in rows if row["key"] == key), {})
    likely = set(row.get("likely", ()))
    values: dict[str, list[str]] = row.get("values", {})
    return tuple(value for value, gpus in values.items() if value not in likely and wanted & set(gpus))
