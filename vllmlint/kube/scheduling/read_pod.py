"""A pod from plain data, with the defaults that the API server fills in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vllmlint.kube.scheduling.read_requests import pod_requests
from vllmlint.kube.scheduling.read_terms import affinity_terms, node_terms, spread_constraints
from vllmlint.kube.scheduling.records import HostPort, Pod, PodClaim, Route, Toleration, Volume
from vllmlint.regex import regex

#: The newest release whose behaviour is known here.
NEWEST = (1, 37)
#: Text that something fills in later: `${VAR}`, `$(VAR)`, `{{ .Values.x }}`, `<your-value>`.
_PLACEHOLDER = regex(r"\$[({A-Za-z]|\{\{|<[A-Za-z]")


def read_pod(data: Mapping[str, Any], version: tuple[int, int] = NEWEST) -> Pod:
    """A pod from its object or from a pod template (`metadata` and `spec`).

    `version` is the cluster's release: before 1.34 requests of the pod as a whole do not count.
    """
    metadata, spec, status = (mapping(data.get(part)) for part in ("metadata", "spec", "status"))
    labels, namespace = strings(metadata.get("labels")), text(metadata.get("namespace")) or "default"
    asks, containers = pod_requests(spec, pod_level=version >= (1, 34))
    affinity = mapping(spec.get("affinity"))
    return Pod(
        name=text(metadata.get("name")) or text(metadata.get("generateName")),
        namespace=namespace,
        labels=labels,
        node_name=text(spec.get("nodeName")),
        scheduler=text(spec.get("schedulerName")) or "default-scheduler",
        gates=tuple(text(one.get("name")) for _, one in mappings(spec.get("schedulingGates"))),
        selector=strings(spec.get("nodeSelector")),
        node_terms=node_terms(mapping(affinity.get("nodeAffinity"))),
        tolerations=tuple(_tolerations(spec)),
        requests=asks,
        containers=containers,
        ports=tuple(_ports(spec)),
        affinity=affinity_terms(affinity, "podAffinity", namespace, labels),
        anti_affinity=affinity_terms(affinity, "podAntiAffinity", namespace, labels),
        spread=spread_constraints(spec, labels),
        claims=tuple(_claims(spec)),
        volumes=tuple(_volumes(spec, text(metadata.get("name")))),
        terminating=metadata.get("deletionTimestamp") is not None,
        finished=text(status.get("phase")) in {"Succeeded", "Failed"},
        unread=tuple(_unread(spec)),
        source=dict(data),
    )


def is_placeholder(value: str) -> bool:
    """Whether a text holds something that is filled in later."""
    return _PLACEHOLDER.search(value) is not None


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping, or an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The mappings of a list with their indexes."""
    for index, one in enumerate(value if isinstance(value, list | tuple) else ()):
        if isinstance(one, Mapping):
            yield index, one


def text(value: Any) -> str:
    """A scalar as text; empty for null and for anything that is no scalar."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None or isinstance(value, Mapping | list) else str(value)


def strings(value: Any) -> dict[str, str]:
    """A mapping of texts."""
    return {str(key): text(one) for key, one in mapping(value).items()}


def _tolerations(spec: Mapping[str, Any]) -> Iterator[Toleration]:
    for index, one in mappings(spec.get("tolerations")):
        seconds = one.get("tolerationSeconds")
        yield Toleration(
            text(one.get("key")),
            text(one.get("operator")),
            text(one.get("value")),
            text(one.get("effect")),
            seconds if isinstance(seconds, int) else None,
            ("spec", "tolerations", index),
        )


def _ports(spec: Mapping[str, Any]) -> Iterator[HostPort]:
    """Host ports of containers and sidecars; on the host's network every container port is one."""
    host_network = spec.get("hostNetwork") is True
    for section in ("containers", "initContainers"):
        for index, container in mappings(spec.get(section)):
            if section == "initContainers" and container.get("restartPolicy") != "Always":
                continue
            for number, one in mappings(container.get("ports")):
                port = one.get("hostPort") or (one.get("containerPort") if host_network else 0)
                if isinstance(port, int) and port > 0:
                    route: Route = ("spec", section, index, "ports", number)
                    protocol = text(one.get("protocol")) or "TCP"
                    yield HostPort(text(one.get("hostIP")) or "0.0.0.0", protocol, port, route)


def _claims(spec: Mapping[str, Any]) -> Iterator[PodClaim]:
    for index, one in mappings(spec.get("resourceClaims")):
        source = mapping(one.get("source"))  # v1alpha2 nested the names
        yield PodClaim(
            text(one.get("name")),
            text(one.get("resourceClaimName")) or text(source.get("resourceClaimName")),
            text(one.get("resourceClaimTemplateName")) or text(source.get("resourceClaimTemplateName")),
            ("spec", "resourceClaims", index),
        )


def _volumes(spec: Mapping[str, Any], pod_name: str) -> Iterator[Volume]:
    for index, one in mappings(spec.get("volumes")):
        name, route = text(one.get("name")), ("spec", "volumes", index)
        if claim := text(mapping(one.get("persistentVolumeClaim")).get("claimName")):
            yield Volume(name, claim, route=route)
        elif isinstance(one.get("ephemeral"), Mapping):
            yield Volume(name, f"{pod_name}-{name}", ephemeral=True, route=route)


_REQUIREMENTS = ("matchExpressions", "matchFields")
#: What of a pod placement depends on; the rest of it may hold any placeholder.
_READ = (
    "nodeSelector",
    "affinity",
    "tolerations",
    "nodeName",
    "topologySpreadConstraints",
    "overhead",
    "resources",
)


def _unread(spec: Mapping[str, Any]) -> Iterator[Route]:
    for part in _READ:
        yield from _placeholders(spec.get(part), ("spec", part))
    for section in ("containers", "initContainers"):
        for index, container in mappings(spec.get(section)):
            yield from _placeholders(container.get("resources"), ("spec", section, index, "resources"))


def _placeholders(value: Any, route: Route) -> Iterator[Route]:
    """The places of placeholders; those inside a requirement stand for the requirement."""
    if isinstance(value, str):
        if _PLACEHOLDER.search(value):
            part = next((one for one in _REQUIREMENTS if one in route), None)
            yield route if part is None else route[: route.index(part) + 2]
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if _PLACEHOLDER.search(str(key)):
                yield route
            yield from _placeholders(one, (*route, str(key)))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _placeholders(one, (*route, index))
