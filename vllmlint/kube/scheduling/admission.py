"""What the API server refuses: such a pod never exists (`scheduling.md` 4.4, 5.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vllmlint.kube.quantity import exact_quantity
from vllmlint.kube.scheduling.amounts import is_extended
from vllmlint.kube.scheduling.labels import integer
from vllmlint.kube.scheduling.read_pod import is_placeholder, mapping, mappings, text
from vllmlint.kube.scheduling.records import Reason, Route

_EFFECTS = frozenset({"", "NoSchedule", "PreferNoSchedule", "NoExecute"})


def refusals(data: Mapping[str, Any], *, comparisons: bool = False) -> Iterator[Reason]:
    """Why the API server refuses a pod, as far as placement is concerned.

    `comparisons` is the gate TaintTolerationComparisonOperators, without which `Lt` and `Gt` are refused.
    """
    spec = mapping(data.get("spec"))
    for index, one in mappings(spec.get("tolerations")):
        route: Route = ("spec", "tolerations", index)
        for field, flaw in _toleration(one, comparisons):
            yield _refused((*route, field), flaw)
    for section in ("containers", "initContainers"):
        for index, container in mappings(spec.get(section)):
            yield from _resources(mapping(container.get("resources")), ("spec", section, index, "resources"))
    for part in ("requests", "limits"):
        for name in mapping(mapping(spec.get("resources")).get(part)):
            if is_extended(str(name)):
                yield _refused(
                    ("spec", "resources", part, str(name)),
                    "extended resources are asked for by containers only",
                )
    required = mapping(mapping(spec.get("affinity")).get("nodeAffinity")).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if isinstance(required, Mapping) and not required.get("nodeSelectorTerms"):
        where: Route = ("spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
        yield _refused(where, "required node affinity needs at least one term")


def _refused(route: Route, flaw: str) -> Reason:
    return Reason(
        "admission", "refused", "no", str(route[-1]), route, "", f"refused by the API server: {flaw}"
    )


def _toleration(one: Mapping[str, Any], comparisons: bool) -> Iterator[tuple[str, str]]:
    """The flaws of a toleration: the field, and what is wrong with it."""
    key, operator = text(one.get("key")), text(one.get("operator"))
    value, effect = text(one.get("value")), text(one.get("effect"))
    if any(is_placeholder(part) for part in (key, operator, value, effect)):
        return
    if operator not in {"", "Equal", "Exists", "Lt", "Gt"}:
        yield "operator", f"{operator!r} is not an operator"
    if operator == "Exists" and value:
        yield "value", "operator Exists takes no value"
    if not key and operator != "Exists":
        yield "operator", "a toleration without a key needs operator Exists"
    if operator in {"Lt", "Gt"}:
        if not comparisons:
            yield "operator", f"operator {operator} needs the gate TaintTolerationComparisonOperators"
        elif integer(value) is None:
            yield "value", f"operator {operator} needs a whole number"
    if effect not in _EFFECTS:
        yield "effect", f"{effect!r} is not an effect"
    if one.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield "tolerationSeconds", "tolerationSeconds goes with the effect NoExecute only"


def _resources(resources: Mapping[str, Any], route: Route) -> Iterator[Reason]:
    """Extended resources and huge pages: whole numbers, and the request equal to the limit."""
    requests, limits = mapping(resources.get("requests")), mapping(resources.get("limits"))
    for name in dict.fromkeys((*map(str, requests), *map(str, limits))):
        if not is_extended(name) and not name.startswith("hugepages-"):
            continue
        asked, limit = (exact_quantity(text(part.get(name)).strip()) for part in (requests, limits))
        if any(is_placeholder(text(part.get(name))) for part in (requests, limits)):
            continue
        for part, amount in (("requests", asked), ("limits", limit)):
            if is_extended(name) and amount is not None and amount != int(amount):
                yield _refused((*route, part, name), f"{name} comes in whole numbers")
        if name in requests and name not in limits:
            yield _refused((*route, "requests", name), f"{name} needs a limit that equals its request")
        elif name in requests and asked != limit:
            yield _refused((*route, "requests", name), f"request and limit of {name} must be equal")
