"""A node as the scheduler sees it, with what of it is known (scheduling.md, section 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeAlias

from vllmlint.kube.quantity import exact_quantity
from vllmlint.record import record, replace

if TYPE_CHECKING:
    from fractions import Fraction

#: An exact amount of a resource: bytes, cores, devices.
Amount: TypeAlias = "int | Fraction"


@record
class Taint:
    """A taint of a node; `value` is empty where it has none."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@record
class Node:
    """One node, or `count` nodes that are alike.

    A real node says everything about itself: `labels_complete`, `taints_complete` and `allocatable_complete`
    hold. A described one (a contract's pool, a cloud's machine type) may carry more than is written:

    - `label_options`: a label that may be there; if it is, it has one of these values.
    - `absent_labels`: labels that are known not to be there.
    - `upper_bounds`: resources whose `allocatable` is the node's capacity: what the kubelet keeps for
      itself is not known, so less than that can be asked for.
    - `absent_resources`: beginnings of resource names that the node does not advertise.

    `used` is what bound pods request; empty means an empty node. `names` are the names of all members;
    `varying_labels` holds labels that differ between them, a value for each name; `varying_amounts` does so
    for resources of which `allocatable` has the smallest. `count` is None where the number of nodes is not
    known. `extended_resource_toleration`: whether the cluster adds a toleration
    for each extended resource a pod requests (scheduling.md 4.3); None: not known.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    allocatable: Mapping[str, Amount] = field(default_factory=dict)
    used: Mapping[str, Amount] = field(default_factory=dict)
    kubernetes_version: tuple[int, int] | None = None
    feature_gates: Mapping[str, bool] = field(default_factory=dict)
    resource_slices: tuple[Mapping[str, Any], ...] | None = None
    labels_complete: bool = True
    taints_complete: bool = True
    allocatable_complete: bool = True
    count: int | None = 1
    names: tuple[str, ...] = ()
    varying_labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    varying_amounts: Mapping[str, tuple[Amount, ...]] = field(default_factory=dict)
    label_options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    absent_labels: frozenset[str] = frozenset()
    upper_bounds: frozenset[str] = frozenset()
    absent_resources: tuple[str, ...] = ()
    extended_resource_toleration: bool | None = None

    def label_values(self, key: str) -> frozenset[str | None] | None:
        """The values a label may have, None among them standing for a label that is not there; None instead
        of a set: it may be anything."""
        if key in self.labels:
            return frozenset({self.labels[key]})
        if key in self.varying_labels:
            return frozenset(self.varying_labels[key])
        if self.labels_complete or key in self.absent_labels:
            return frozenset({None})
        options = self.label_options.get(key)
        return None if options is None else frozenset({None, *options})

    def allocatable_of(self, resource: str) -> Amount | None:
        """How much of a resource the node offers; None: not known."""
        amount = self.allocatable.get(resource)
        if amount is None and (self.allocatable_complete or resource.startswith(self.absent_resources)):
            return 0
        return amount

    def members(self) -> Iterator[Node]:
        """The nodes one by one, each with its own name and labels; a described node is its own member."""
        if not self.names:
            yield self
            return
        for number, name in enumerate(self.names):
            own = {key: values[number] for key, values in self.varying_labels.items()}
            amounts = {key: values[number] for key, values in self.varying_amounts.items()}
            yield replace(
                self,
                name=name,
                names=(),
                count=1,
                labels={**self.labels, **own},
                allocatable={**self.allocatable, **amounts},
                varying_labels={},
                varying_amounts={},
            )


class NodeError(ValueError):
    """An object that is no node, or has a part that no node can have; the message says which."""


def node_from_object(obj: Mapping[str, Any]) -> Node:
    """A node from its API object, as `kubectl get node -o json` prints it.

    Raises NodeError where a part that placement depends on is missing or has the wrong shape. Annotations
    and status other than `allocatable` (`capacity` where that is missing) and `nodeInfo` are not looked at.
    """
    if obj.get("kind") not in {None, "Node"}:
        raise NodeError(f"kind is {obj.get('kind')!r}, not Node")
    metadata = _mapping(obj, "metadata")
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        raise NodeError("metadata.name is missing")
    spec, status = _mapping(obj, "spec"), _mapping(obj, "status")
    which = "allocatable" if status.get("allocatable") else "capacity"
    amounts = _amounts(_mapping(status, which, "status."), f"status.{which}")
    version = _mapping(status, "nodeInfo", "status.").get("kubeletVersion")
    unschedulable = spec.get("unschedulable") or False
    if not isinstance(unschedulable, bool):
        raise NodeError("spec.unschedulable is neither true nor false")
    return Node(
        name=name,
        labels=_texts(_mapping(metadata, "labels", "metadata."), "metadata.labels"),
        taints=_taints(spec.get("taints")),
        unschedulable=unschedulable,
        allocatable=amounts,
        kubernetes_version=minor_version(version) if isinstance(version, str) else None,
        allocatable_complete=bool(amounts),
        names=(name,),
        upper_bounds=frozenset(amounts) if which == "capacity" else frozenset(),
    )


def minor_version(text: str) -> tuple[int, int] | None:
    """(1, 33) for `v1.33.2-gke.1240000`; None where the text is no version."""
    parts = text.removeprefix("v").split(".")
    if len(parts) < 2 or not parts[0].isdecimal():
        return None
    digits = "".join(char for char in parts[1][:4] if char.isdecimal())
    return (int(parts[0]), int(digits)) if digits else None


def _mapping(obj: Mapping[str, Any], key: str, prefix: str = "") -> Mapping[str, Any]:
    value = obj.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise NodeError(f"{prefix}{key} is not a mapping")
    return value


def _texts(values: Mapping[str, Any], where: str) -> dict[str, str]:
    for key, value in values.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise NodeError(f"{where}: the value of {key!r} is not a text")
    return dict(values)


def _amounts(values: Mapping[str, Any], where: str) -> dict[str, Amount]:
    amounts: dict[str, Amount] = {}
    for key, value in values.items():
        plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
        amount = exact_quantity(str(value)) if plain else None
        if amount is None:
            raise NodeError(f"{where}: the value of {key!r} is not a quantity: {value!r}")
        amounts[str(key)] = amount
    return amounts


def _taints(values: object) -> tuple[Taint, ...]:
    if values is None:
        return ()
    if not isinstance(values, list):
        raise NodeError("spec.taints is not a list")
    taints = []
    for number, value in enumerate(values):
        where = f"spec.taints[{number}]"
        if not isinstance(value, Mapping):
            raise NodeError(f"{where} is not a mapping")
        key, content, effect = value.get("key"), value.get("value") or "", value.get("effect")
        if not isinstance(key, str) or not isinstance(content, str) or not isinstance(effect, str):
            raise NodeError(f"{where}: key and effect must be texts")
        taints.append(Taint(key, content, effect))
    return tuple(taints)
