"""Pod templates in every kind of object, and their containers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Literal

from vllmlint.kube.objects import KubeObject, string_map
from vllmlint.kube.probes import PROBE_NAMES, Probe, ProbeName, read_probe
from vllmlint.kube.quantity import parse_quantity
from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence, Step
from vllmlint.record import record

Carrier = Literal["plain", "lws", "other"]

#: Route to the pod template (the mapping with `metadata` and `spec`) of the built-in kinds.
PLAIN_CARRIERS: dict[str, tuple[Step, ...]] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
#: Route to the number of pods where it is not `spec.replicas`.
_REPLICAS: dict[str, tuple[Step, ...]] = {
    "Job": ("spec", "parallelism"),
    "CronJob": ("spec", "jobTemplate", "spec", "parallelism"),
}
#: API groups of those kinds; another group's `Deployment` or `Job` is an unknown kind.
_PLAIN_GROUPS = frozenset({"", "apps", "batch", "extensions"})
_LWS_TEMPLATES = (("leader", "leaderTemplate"), ("worker", "workerTemplate"))
#: An unknown kind is searched for templates no further than this many nodes.
_SEARCH_LIMIT = 20_000


@record
class Volume:
    """A volume of a pod: `kind` is its source (`emptyDir`, `persistentVolumeClaim`, …)."""

    name: str
    kind: str
    node: Mapping
    source: Node | None

    @property
    def claim_name(self) -> str | None:
        """The PersistentVolumeClaim it mounts."""
        return self.source.string("claimName") if self.source is not None else None

    @property
    def medium(self) -> str:
        """The medium of an emptyDir (`Memory`, or empty for the node's disk)."""
        return (self.source.string("medium") or "") if self.source is not None else ""


@record
class Mount:
    """A volume mount; `volume` is None when the pod declares no volume of that name."""

    name: str
    path: str
    node: Mapping
    volume: Volume | None
    read_only: bool

    def holds(self, path: str) -> bool:
        """Whether `path` lies in this mount."""
        return path == self.path or path.startswith(self.path.rstrip("/") + "/")


class Container:
    """A container of a pod template.

    `role` is `init` for an init container, `sidecar` for a native one (an init container with
    `restartPolicy: Always`), else `main`.
    """

    def __init__(self, workload: Workload, node: Mapping, index: int, *, init: bool) -> None:
        self.workload = workload
        self.node = node
        self.index = index
        self.name = node.string("name") or ""
        self.image = node.scalar("image")
        sidecar = init and node.string("restartPolicy") == "Always"
        self.role: Literal["main", "init", "sidecar"] = "sidecar" if sidecar else "init" if init else "main"

    def forget(self) -> None:
        """Drop what was worked out on first use."""
        for name in ("command", "args", "probes", "ports", "mounts"):
            self.__dict__.pop(name, None)

    @property
    def anchor(self) -> Node:
        """What to underline for the container as a whole: its name, else its image."""
        return self.node.scalar("name") or self.image or self.node

    @cached_property
    def command(self) -> tuple[Scalar, ...] | None:
        """The words of `command`; None when the image's entrypoint runs."""
        return _words(self.node.at("command"))

    @cached_property
    def args(self) -> tuple[Scalar, ...] | None:
        """The words of `args`; None when the image's own arguments hold."""
        return _words(self.node.at("args"))

    @cached_property
    def probes(self) -> dict[ProbeName, Probe]:
        """The probes the container has."""
        found = ((name, read_probe(self.node, name)) for name in PROBE_NAMES)
        return {name: probe for name, probe in found if probe is not None}

    @cached_property
    def ports(self) -> dict[int, str]:
        """Container ports by number, with their names (empty when unnamed)."""
        return {
            number: port.string("name") or ""
            for port in self.node.mappings("ports")
            if (number := port.integer("containerPort")) is not None
        }

    @cached_property
    def mounts(self) -> tuple[Mount, ...]:
        """The volume mounts, longest path first, so that the first that holds a path is the one."""
        volumes = self.workload.volumes
        mounts = [
            Mount(
                name=node.string("name") or "",
                path=(node.string("mountPath") or "").rstrip("/") or "/",
                node=node,
                volume=volumes.get(node.string("name") or ""),
                read_only=node.flag("readOnly") or False,
            )
            for node in self.node.mappings("volumeMounts")
        ]
        return tuple(sorted(mounts, key=lambda mount: -len(mount.path)))

    def mount_of(self, path: str) -> Mount | None:
        """The mount that holds `path`; None when the image's own file system does."""
        return next((mount for mount in self.mounts if mount.holds(path) and mount.path != "/"), None)

    def resource(self, section: Literal["limits", "requests"], name: str) -> Scalar | None:
        """The quantity of one resource."""
        return self.node.scalar("resources", section, name)

    def amount(self, section: Literal["limits", "requests"], name: str) -> int | float | None:
        """The quantity of one resource as a number (bytes, cores, devices)."""
        node = self.resource(section, name)
        return None if node is None else parse_quantity(node.text)

    def resources(self, section: Literal["limits", "requests"]) -> dict[str, Scalar]:
        """All quantities of `limits` or `requests`, by resource name."""
        node = self.node.mapping("resources", section)
        return {} if node is None else {k: v for k, v in node.entries.items() if isinstance(v, Scalar)}


class Workload:
    """A pod template and the object that carries it.

    `template` holds `metadata` and `spec` of the pods; `role` tells several templates of one object
    apart (`leader`, `worker`, a group's name; empty for the only one). `carrier` says who makes the
    pods: Kubernetes itself (`plain`), LeaderWorkerSet (`lws`) or another controller (`other`), which
    may add what the manifest leaves out; `wrapper` then says what (see `vllmlint.serving.wrappers`).
    """

    wrapper: object | None = None

    def __init__(
        self, obj: KubeObject, template: Mapping, spec: Mapping, role: str, carrier: Carrier
    ) -> None:
        self.object = obj
        self.template = template
        self.spec = spec
        self.role = role
        self.carrier: Carrier = carrier

    @property
    def kind(self) -> str:
        """The kind of the carrying object."""
        return self.object.kind

    @property
    def is_batch(self) -> bool:
        """Whether the pods run to completion."""
        return self.carrier == "plain" and self.kind in {"Job", "CronJob"}

    @cached_property
    def labels(self) -> dict[str, str]:
        """The labels of the pods."""
        return string_map(self.template.at("metadata", "labels"))

    @cached_property
    def volumes(self) -> dict[str, Volume]:
        """The volumes of the pods, those from `volumeClaimTemplates` included."""
        found: dict[str, Volume] = {}
        for node in self.spec.mappings("volumes"):
            name = node.string("name") or ""
            kind = next((key for key in node.entries if key != "name"), "emptyDir")
            found[name] = Volume(name, kind, node, node.at(kind))
        for route in (
            ("spec", "volumeClaimTemplates"),
            ("spec", "leaderWorkerTemplate", "volumeClaimTemplates"),
        ):
            for node in self.object.node.mappings(*route):
                name = node.string("metadata", "name") or ""
                found[name] = Volume(name, "volumeClaimTemplate", node, node.at("spec"))
        return found

    @cached_property
    def containers(self) -> tuple[Container, ...]:
        """Containers first, then init containers (native sidecars among them)."""
        return tuple(
            Container(self, node, index, init=init)
            for init, field in ((False, "containers"), (True, "initContainers"))
            for index, node in enumerate(self.spec.mappings(field))
        )

    @property
    def replicas(self) -> int | None:
        """Pods that the manifest asks for; None when it does not decide (DaemonSet, a placeholder, …)."""
        if self.carrier == "other" or self.kind == "DaemonSet":
            return None
        if self.kind == "Pod":
            return 1
        route = (
            _REPLICAS.get(self.kind, ("spec", "replicas"))
            if self.carrier == "plain"
            else ("spec", "replicas")
        )
        node = self.object.node.at(*route)
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return 1
        return self.object.node.integer(*route)

    @property
    def replicas_node(self) -> Scalar | None:
        """The scalar that states the number of pods."""
        return self.object.node.scalar("spec", "replicas")


def workloads_of(obj: KubeObject) -> list[Workload]:
    """The pod templates an object carries: by kind where it is known, by shape elsewhere."""
    if obj.kind in PLAIN_CARRIERS and obj.group in _PLAIN_GROUPS:
        template = obj.node.at(*PLAIN_CARRIERS[obj.kind])
        spec = template.at("spec") if template is not None else None
        if isinstance(template, Mapping) and isinstance(spec, Mapping):
            return [Workload(obj, template, spec, "", "plain")]
        return []
    if obj.kind == "LeaderWorkerSet":
        return list(_leader_worker_templates(obj))
    if obj.group in {
        "",
        "apps",
        "batch",
        "rbac.authorization.k8s.io",
        "networking.k8s.io",
        "apiextensions.k8s.io",
    }:
        return []
    return [
        Workload(obj, template, spec, role, "other") for template, spec, role in _templates_by_shape(obj.node)
    ]


def _leader_worker_templates(obj: KubeObject) -> Iterator[Workload]:
    for role, field in _LWS_TEMPLATES:
        template = obj.node.at("spec", "leaderWorkerTemplate", field)
        spec = template.at("spec") if template is not None else None
        if isinstance(template, Mapping) and isinstance(spec, Mapping):
            yield Workload(obj, template, spec, role, "lws")


def _templates_by_shape(root: Mapping) -> Iterator[tuple[Mapping, Mapping, str]]:
    """Every mapping with `containers` that name an image or a command, breadth first."""
    queue: list[tuple[Node, Mapping, str]] = [(root, root, "")]
    visited: set[int] = set()
    while queue and len(visited) < _SEARCH_LIMIT:
        node, parent, role = queue.pop(0)
        if id(node) in visited:
            continue
        visited.add(id(node))
        if isinstance(node, Sequence):
            queue += [(item, parent, _role_of(item) or role) for item in node.items]
        elif isinstance(node, Mapping):
            if _is_pod_spec(node):
                template = parent if parent.entries.get("spec") is node else node
                yield template, node, role
                continue
            queue += [(child, node, _role_from_key(key) or role) for key, child in node.entries.items()]


def _is_pod_spec(node: Mapping) -> bool:
    return any(
        container.scalar("name") is not None
        and (container.scalar("image") is not None or "command" in container.entries)
        for container in node.mappings("containers")
    )


def _role_of(item: Node) -> str:
    """The name of a group in a list of groups (`workerGroupSpecs`, `roles`, `components`)."""
    return item.string("groupName") or item.string("name") or "" if isinstance(item, Mapping) else ""


def _role_from_key(key: str) -> str:
    lowered = key.lower()
    return next(
        (role for role in ("leader", "head", "prefill", "decode", "worker") if lowered.startswith(role)), ""
    )


def _words(node: Node | None) -> tuple[Scalar, ...] | None:
    if isinstance(node, Sequence):
        return tuple(item for item in node.items if isinstance(item, Scalar))
    if isinstance(node, Scalar) and not node.is_null:
        return (node,)
    return None
