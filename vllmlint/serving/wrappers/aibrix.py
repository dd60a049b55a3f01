"""AIBrix: StormService and RoleSet (roles), PodSet, RayClusterFleet (a Ray cluster as a template)."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping
from vllmlint.serving.wrappers.base import RunObjects, count, wrapped
from vllmlint.serving.wrappers.ray import cluster_workloads
from vllmlint.serving.wrappers.wrapper import Injection, Wrapper

_CONTROLLER = "AIBrix"
#: It adds variables and, for pod groups, a headless Service; nothing that a rule asks for.
_INJECTS: frozenset[Injection] = frozenset()
_ROLES = {"StormService": ("spec", "template", "spec", "roles"), "RoleSet": ("spec", "roles")}


def workloads(obj: KubeObject, _run: RunObjects) -> list[Workload]:
    """The pods of each role, of a pod set, or of the Ray clusters of a fleet."""
    if obj.kind == "RayClusterFleet":
        return cluster_workloads(obj, obj.node.mapping("spec", "template", "spec"), _CONTROLLER)
    if obj.kind == "PodSet":
        return list(_pods(obj, obj.node.mapping("spec"), ""))
    return [
        one
        for role in obj.node.mappings(*_ROLES[obj.kind])
        for one in _pods(obj, role, role.string("name") or "")
    ]


def _pods(obj: KubeObject, part: Mapping | None, role: str) -> Iterator[Workload]:
    template = part.mapping("template") if part is not None else None
    spec = template.mapping("spec") if template is not None else None
    if template is not None and spec is not None:
        size = count(part, "podGroupSize") or 1
        yield wrapped(obj, template, spec, Wrapper(_CONTROLLER, injects=_INJECTS, size=size), role)
