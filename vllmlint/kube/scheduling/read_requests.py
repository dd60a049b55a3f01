"""What a pod asks of its node (`scheduling.md` 5.1; component-helpers resource/helpers.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllmlint.kube.node import Amount
from vllmlint.kube.scheduling.amounts import Exact, quantities, scheduler_units
from vllmlint.kube.scheduling.records import Ask, Route


def container_requests(container: Mapping[str, Any]) -> Exact:
    """A container's requests; a limit without a request is one (API defaulting)."""
    resources = container.get("resources")
    resources = resources if isinstance(resources, Mapping) else {}
    requests, limits = quantities(resources.get("requests")), quantities(resources.get("limits"))
    return {**limits, **requests}


def pod_requests(
    spec: Mapping[str, Any], *, pod_level: bool
) -> tuple[dict[str, Ask], tuple[dict[str, int], ...]]:
    """The pod's request of each resource, and what each container asks for.

    Per resource: the larger of what containers and sidecars ask for together, and of what each step of the
    initialization does (an init container with the sidecars before it). `pod_level` lets `spec.resources`
    replace the sum of cpu, memory and huge pages. Overhead comes on top.
    """
    mains, inits = _containers(spec, "containers"), _containers(spec, "initContainers")
    total: Exact = {}
    for _, container in mains:
        _add(total, container_requests(container))
    sidecars: Exact = {}
    peak: Exact = {}
    for _, container in inits:
        asked = container_requests(container)
        if container.get("restartPolicy") == "Always":
            _add(total, asked)
            _add(sidecars, asked)
            step = sidecars
        else:
            step = dict(asked)
            _add(step, sidecars)
        for name, amount in step.items():
            peak[name] = max(peak.get(name, 0), amount)
    for name, amount in peak.items():
        total[name] = max(total.get(name, 0), amount)
    routes = _routes(spec)
    if pod_level:
        _apply_pod_level(spec, total, routes)
    _add(total, quantities(spec.get("overhead")))
    asks = {
        name: Ask(scheduler_units(name, amount), routes.get(name, (("spec", "overhead", name),)))
        for name, amount in total.items()
    }
    shares = tuple(
        {name: scheduler_units(name, amount) for name, amount in container_requests(container).items()}
        for _, container in (*inits, *mains)
    )
    return asks, shares


def _containers(spec: Mapping[str, Any], section: str) -> list[tuple[Route, Mapping[str, Any]]]:
    listed = spec.get(section)
    return [
        (("spec", section, index), one)
        for index, one in enumerate(listed if isinstance(listed, list) else ())
        if isinstance(one, Mapping)
    ]


def _add(total: Exact, more: Exact) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _routes(spec: Mapping[str, Any]) -> dict[str, tuple[Route, ...]]:
    """Where each resource is asked for, the largest request first."""
    found: dict[str, list[tuple[Amount, Route]]] = {}
    for base, container in (*_containers(spec, "containers"), *_containers(spec, "initContainers")):
        resources = container.get("resources")
        requests = resources.get("requests") if isinstance(resources, Mapping) else None
        for name, amount in container_requests(container).items():
            section = "requests" if isinstance(requests, Mapping) and name in requests else "limits"
            found.setdefault(name, []).append((-amount, (*base, "resources", section, name)))
    return {name: tuple(route for _, route in sorted(places, key=_first)) for name, places in found.items()}


def _first(place: tuple[Amount, Route]) -> Amount:
    return place[0]


def pod_level_resource(name: str) -> bool:
    """Whether `spec.resources` of a pod may name a resource."""
    return name in {"cpu", "memory"} or name.startswith("hugepages-")


def _apply_pod_level(spec: Mapping[str, Any], total: Exact, routes: dict[str, tuple[Route, ...]]) -> None:
    resources = spec.get("resources")
    if not isinstance(resources, Mapping):
        return
    requests, limits = quantities(resources.get("requests")), quantities(resources.get("limits"))
    for name, amount in requests.items():
        if pod_level_resource(name):
            total[name] = amount
            routes[name] = (("spec", "resources", "requests", name),)
    for name, amount in limits.items():
        # a limit becomes the request where neither the pod nor a container has one
        if pod_level_resource(name) and name not in total:
            total[name] = amount
            routes[name] = (("spec", "resources", "limits", name),)
