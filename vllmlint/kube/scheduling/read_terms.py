"""Selectors, affinity terms and spread constraints from plain data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vllmlint.kube.scheduling.records import (
    LabelSelector,
    NodeTerm,
    PodTerm,
    Requirement,
    Route,
    Spread,
)

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def node_terms(affinity: Mapping[str, Any]) -> tuple[NodeTerm, ...] | None:
    """The required node selector terms; None when nothing is required."""
    required = affinity.get(_REQUIRED)
    if not isinstance(required, Mapping):
        return None
    base: Route = ("spec", "affinity", "nodeAffinity", _REQUIRED)
    return node_selector(required, base)


def node_selector(selector: Mapping[str, Any], base: Route = ()) -> tuple[NodeTerm, ...]:
    """The terms of a node selector (of a pod, a PersistentVolume or a resource slice)."""
    return tuple(
        NodeTerm(
            tuple(_requirements(term.get("matchExpressions"), (*route, "matchExpressions"))),
            tuple(_requirements(term.get("matchFields"), (*route, "matchFields"))),
            route,
        )
        for index, term in _mappings(selector.get("nodeSelectorTerms"))
        for route in ((*base, "nodeSelectorTerms", index),)
    )


def label_selector(value: Any) -> LabelSelector | None:
    """A label selector; None when there is none."""
    if not isinstance(value, Mapping):
        return None
    pairs = value.get("matchLabels")
    labels = [
        Requirement(str(key), "In", (str(one),))
        for key, one in (pairs.items() if isinstance(pairs, Mapping) else ())
    ]
    return LabelSelector((*labels, *_requirements(value.get("matchExpressions"), ())))


def affinity_terms(
    affinity: Mapping[str, Any], part: str, namespace: str, labels: Mapping[str, str]
) -> tuple[PodTerm, ...]:
    """The required terms of `podAffinity` or `podAntiAffinity` of a pod in `namespace` with `labels`.

    `matchLabelKeys` and `mismatchLabelKeys` become part of the selector, as the API server makes them.
    """
    section = affinity.get(part)
    required = section.get(_REQUIRED) if isinstance(section, Mapping) else None
    found = []
    for index, term in _mappings(required):
        selector = label_selector(term.get("labelSelector"))
        if selector is not None:
            selector = _with_keys(selector, term.get("matchLabelKeys"), "In", labels)
            selector = _with_keys(selector, term.get("mismatchLabelKeys"), "NotIn", labels)
        names, among = term.get("namespaces"), label_selector(term.get("namespaceSelector"))
        listed = frozenset(str(one) for one in names) if isinstance(names, list) else frozenset()
        if not listed and among is None:
            listed = frozenset({namespace})
        key = str(term.get("topologyKey") or "")
        route: Route = ("spec", "affinity", part, _REQUIRED, index)
        found.append(PodTerm(selector, key, listed, among, route))
    return tuple(found)


def spread_constraints(spec: Mapping[str, Any], labels: Mapping[str, str]) -> tuple[Spread, ...]:
    """The constraints that reject; those with `ScheduleAnyway` only score."""
    found = []
    for index, one in _mappings(spec.get("topologySpreadConstraints")):
        if one.get("whenUnsatisfiable", "DoNotSchedule") != "DoNotSchedule":
            continue
        selector = label_selector(one.get("labelSelector"))
        if selector is not None:
            selector = _with_keys(selector, one.get("matchLabelKeys"), "In", labels)
        found.append(
            Spread(
                _integer(one.get("maxSkew"), 1),
                str(one.get("topologyKey") or ""),
                selector,
                _integer(one.get("minDomains"), 1),
                one.get("nodeAffinityPolicy") != "Ignore",
                one.get("nodeTaintsPolicy") == "Honor",
                ("spec", "topologySpreadConstraints", index),
            )
        )
    return tuple(found)


def _with_keys(selector: LabelSelector, keys: Any, operator: str, labels: Mapping[str, str]) -> LabelSelector:
    """A selector with the pod's own value of each key; keys that the pod lacks are ignored."""
    listed: Iterable[Any] = keys if isinstance(keys, list) else ()
    more = [Requirement(str(key), operator, (labels[str(key)],)) for key in listed if str(key) in labels]
    return LabelSelector((*selector.requirements, *more))


def _requirements(value: Any, base: Route) -> Iterator[Requirement]:
    for index, one in _mappings(value):
        values = one.get("values")
        texts = tuple(_text(each) for each in values) if isinstance(values, list) else ()
        yield Requirement(_text(one.get("key")), _text(one.get("operator")), texts, (*base, index))


def _mappings(value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for index, one in enumerate(value if isinstance(value, list) else ()):
        if isinstance(one, Mapping):
            yield index, one


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _integer(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
