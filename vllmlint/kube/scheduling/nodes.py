"""Nodes as the scheduler sees them, real ones and descriptions of what a pool's nodes are like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from vllmlint.kube.scheduling.amounts import amounts
from vllmlint.record import record


@record
class NodeTaint:
    """A taint of a node."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"

    @property
    def repels(self) -> bool:
        """Whether it keeps pods away: PreferNoSchedule only scores."""
        return self.effect in {"NoSchedule", "NoExecute"}

    @property
    def text(self) -> str:
        """The taint as kubectl writes it: `key=value:effect`."""
        return f"{self.key}{'=' + self.value if self.value else ''}:{self.effect}"


@record
class NodeState:
    """A node, or what is known of the nodes of a pool.

    `allocatable` is in the scheduler's units; None says that nothing is known of it. `known_labels` are the
    keys of which an absence means something, None all of them (a real node). A resource that is missing from
    `allocatable` is absent, unless it is in `unknown_resources` or `resources_complete` is false.
    `added_tolerations` is set where the platform adds tolerations of requested resources
    (ExtendedResourceToleration). `max_per_container` bounds what kubelet hands to one container of a shared
    resource; `topology_policy` is kubelet's topology manager policy.
    """

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[NodeTaint, ...] = ()
    unschedulable: bool = False
    allocatable: dict[str, int] = field(default_factory=dict)
    known_labels: frozenset[str] | None = None
    resources_complete: bool = True
    unknown_resources: frozenset[str] = frozenset()
    taints_complete: bool = True
    added_tolerations: bool = False
    max_per_container: dict[str, int] = field(default_factory=dict)
    topology_policy: str = ""
    devices_per_numa: dict[str, int] = field(default_factory=dict)
    may_use_dra: bool = False

    def amount(self, resource: str) -> int | None:
        """Allocatable of a resource; 0 where the node has none of it, None where nothing tells."""
        found = self.allocatable.get(resource)
        if found is not None:
            return found
        if resource in self.unknown_resources or not self.resources_complete:
            return None
        return 0

    def absent_label(self, key: str) -> bool | None:
        """Whether the node surely lacks a label; None when nothing tells."""
        if key in self.labels:
            return False
        return True if self.known_labels is None or key in self.known_labels else None


def node_state(data: Mapping[str, Any]) -> NodeState:
    """A node from its object, as `kubectl get node -o json` prints it."""
    metadata, spec, status = (_mapping(data.get(part)) for part in ("metadata", "spec", "status"))
    resources = status.get("allocatable")
    return NodeState(
        name=str(metadata.get("name") or ""),
        labels={str(key): str(value) for key, value in _mapping(metadata.get("labels")).items()},
        taints=tuple(
            NodeTaint(str(one.get("key") or ""), str(one.get("value") or ""), str(one.get("effect") or ""))
            for one in spec.get("taints") or ()
            if isinstance(one, Mapping)
        ),
        unschedulable=spec.get("unschedulable") is True,
        # the API server fills allocatable from capacity where kubelet has not set it yet
        allocatable=amounts(resources if resources is not None else status.get("capacity")),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
