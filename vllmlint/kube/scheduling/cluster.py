"""A cluster as one scheduling attempt sees it, from plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from vllmlint.kube.node import Node, node_from_object
from vllmlint.kube.scheduling.nodes import NodeState
from vllmlint.kube.scheduling.read_pod import NEWEST, read_pod
from vllmlint.kube.scheduling.records import HostPort, Pod
from vllmlint.kube.scheduling.volumes import Storage
from vllmlint.record import record, replace

#: Gates that change a verdict, with the release that switches each on (`scheduling.md` 7.1).
_GATES = {
    "TaintTolerationComparisonOperators": None,
    "DynamicResourceAllocation": (1, 34),
    "DRAPrioritizedList": (1, 34),
    "DRAAdminAccess": (1, 34),
    "DRAExtendedResource": (1, 36),
    "DRADeviceTaints": (1, 36),
    "DRADeviceTaintRules": (1, 37),
    "DRAPartitionableDevices": (1, 36),
    "DRAConsumableCapacity": (1, 36),
    "DRADeviceBindingConditions": (1, 36),
}


@record
class Devices:
    """The objects of dynamic resource allocation, as plain data; None where nothing is known of them."""

    slices: tuple[Mapping[str, Any], ...] | None = None
    claims: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    templates: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    classes: Mapping[str, Mapping[str, Any]] | None = None
    taint_rules: tuple[Mapping[str, Any], ...] = ()


@record
class Load:
    """What runs on a node: the pods, what they ask for together, the host ports they have."""

    pods: tuple[Pod, ...] = ()
    used: dict[str, int] = field(default_factory=dict)
    ports: tuple[HostPort, ...] = ()


_EMPTY = Load()


class Cluster:
    """Nodes with what runs on them, and the other objects that decide.

    `pods` None: nothing is known of what runs; the nodes then count as empty, the best case, and what only
    other pods decide is unknown. `namespaces` are the labels of namespaces by name.
    """

    def __init__(
        self,
        nodes: Iterable[Node],
        pods: Iterable[Pod] | None = None,
        *,
        storage: Storage | None = None,
        devices: Devices | None = None,
        namespaces: Mapping[str, Mapping[str, str]] | None = None,
        version: tuple[int, int] = NEWEST,
        gates: Mapping[str, bool] | None = None,
    ) -> None:
        self.nodes = tuple(NodeState(node) for node in nodes)
        self.pods = None if pods is None else tuple(pods)
        self.pods_known = pods is not None
        self.storage = storage if storage is not None else Storage({}, {}, {}, complete=False)
        self.devices = devices if devices is not None else Devices()
        self.namespaces = namespaces or {}
        self.version = version
        self._gates = dict(gates or {})
        self._by_name = {node.name: node for node in self.nodes}
        self._loads: dict[str, Load] = {}
        self._members: dict[int, tuple[NodeState, ...]] = {}
        self._classes: dict[int, tuple[int, int]] = {}
        self._numbers: dict[object, int] = {}
        # a pod that is done holds nothing; one that is leaving still does
        self.running = tuple(one for one in self.pods or () if one.node_name and not one.finished)
        by_node: dict[str, list[Pod]] = {}
        for one in self.running:
            by_node.setdefault(one.node_name, []).append(one)
        for name, there in by_node.items():
            used: dict[str, int] = {}
            for one in there:
                for resource, ask in one.requests.items():
                    used[resource] = used.get(resource, 0) + ask.amount
            self._loads[name] = Load(tuple(there), used, tuple(port for one in there for port in one.ports))

    def gate(self, name: str) -> bool:
        """Whether a feature gate is on: as stated, else as the release has it by default."""
        stated = self._gates.get(name)
        since = _GATES[name]
        return stated if stated is not None else since is not None and self.version >= since

    def state(self, node: Node) -> NodeState:
        """A node made ready: one of the cluster's own, or one that stands for members of a group."""
        found = self._by_name.get(node.name)
        return found if found is not None and found.node is node else NodeState(node)

    def members(self, node: Node) -> tuple[NodeState, ...]:
        """The nodes that one of the cluster's stands for, one by one."""
        found = self._members.get(id(node))
        if found is None:
            found = self._members[id(node)] = tuple(NodeState(one) for one in node.members())
        return found

    def classes(self, node: NodeState) -> tuple[int, int]:
        """Numbers that are equal for nodes of equal taints, and for nodes of equal resources."""
        found = self._classes.get(id(node))
        if found is None:
            keys = (node.taint_key, node.amount_key)
            numbers = [self._numbers.setdefault(key, len(self._numbers)) for key in keys]
            found = self._classes[id(node)] = (numbers[0], numbers[1])
        return found

    def with_objects(self, devices: Devices, storage: Storage) -> Cluster:
        """The same cluster with other objects in it."""
        other = object.__new__(Cluster)
        other.__dict__.update(self.__dict__)
        other.devices, other.storage = devices, storage
        return other

    def known_devices(self, *, slices: bool, classes: bool) -> Devices:
        """The objects of device allocation, with what nothing is known of marked so."""
        return replace(
            self.devices,
            slices=self.devices.slices if slices else None,
            classes=self.devices.classes if classes else None,
        )

    def load(self, node: str) -> Load:
        """What runs on a node."""
        return self._loads.get(node, _EMPTY)

    def node(self, name: str) -> NodeState | None:
        """A node by its name."""
        return self._by_name.get(name)


def read_cluster(data: Mapping[str, Any]) -> Cluster:
    """A whole cluster from plain data: `{nodes, pods, slices, claims, deviceClasses, version, …}`.

    What is not listed does not exist. Objects stand under the name of their list; `claims` may hold
    ResourceClaims and ResourceClaimTemplates alike.
    """
    version = parse_version(data.get("version"))
    claims = [
        *_objects(data, "claims", "resourceClaims"),
        *_objects(data, "templates", "resourceClaimTemplates", "claimTemplates"),
    ]
    templates = [one for one in claims if _is_template(one)]
    return Cluster(
        [_node(one) for one in _objects(data, "nodes")],
        [read_pod(one, version) for one in _objects(data, "pods")],
        storage=Storage(
            _named(_objects(data, "persistentVolumeClaims", "pvcs")),
            {name: one for (_, name), one in _named(_objects(data, "persistentVolumes", "pvs")).items()},
            {name: one for (_, name), one in _named(_objects(data, "storageClasses")).items()},
        ),
        devices=Devices(
            tuple(_objects(data, "slices", "resourceSlices")),
            _named(one for one in claims if not _is_template(one)),
            _named(templates),
            {name: one for (_, name), one in _named(_objects(data, "deviceClasses", "classes")).items()},
            tuple(_objects(data, "deviceTaintRules")),
        ),
        namespaces={
            name: {str(k): str(v) for k, v in (one.get("metadata", {}).get("labels") or {}).items()}
            for (_, name), one in _named(_objects(data, "namespaces")).items()
        },
        version=version,
        gates=data.get("featureGates") or data.get("gates"),
    )


def _node(obj: Mapping[str, Any]) -> Node:
    """A node of a whole cluster: what its object does not list is not there."""
    node = node_from_object(obj)
    return replace(
        node, allocatable_complete=True, upper_bounds=frozenset(), extended_resource_toleration=False
    )


def parse_version(value: Any) -> tuple[int, int]:
    """A release such as `1.36`, `v1.36.2` or `1.36+`; the newest one where there is none."""
    parts = str(value or "").lstrip("v").split(".")
    try:
        return int(parts[0]), int("".join(ch for ch in parts[1] if ch.isdigit()))
    except (IndexError, ValueError):
        return NEWEST


def _plain_name(name: str) -> str:
    """A list's name without its spelling: `deviceClasses` and `device_classes` are one."""
    return name.replace("_", "").lower()


def _objects(data: Mapping[str, Any], *names: str) -> list[Mapping[str, Any]]:
    by_name = {_plain_name(str(key)): value for key, value in data.items()}
    for name in names:
        listed = by_name.get(_plain_name(name))
        if isinstance(listed, Mapping):  # a List object
            listed = listed.get("items")
        if isinstance(listed, list):
            return [one for one in listed if isinstance(one, Mapping)]
    return []


def _named(objects: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    found = {}
    for one in objects:
        metadata = one.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        found[str(metadata.get("namespace") or "default"), str(metadata.get("name") or "")] = one
    return found


def _is_template(one: Mapping[str, Any]) -> bool:
    spec = one.get("spec")
    nested = isinstance(spec, Mapping) and isinstance(spec.get("spec"), Mapping)
    return one.get("kind") == "ResourceClaimTemplate" or nested
