"""Taints and tolerations (`scheduling.md` 4), cordons, and the toleration that nearly matches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from vllmlint.kube.node import Taint
from vllmlint.kube.scheduling.amounts import is_extended
from vllmlint.kube.scheduling.labels import integer
from vllmlint.kube.scheduling.nodes import NodeState, repels
from vllmlint.kube.scheduling.records import NearMiss, Pod, Reason, Toleration

_PLUGIN = "TaintToleration"
#: How alike two keys are when one was meant for the other: `nvidia.com/gpus` and `nvidia.com/gpu`.
_SIMILAR = 0.8
CORDON = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")


def tolerates(one: Toleration, taint: Taint, *, comparisons: bool = False) -> bool:
    """Whether a toleration tolerates a taint (core/v1 `ToleratesTaint`; `scheduling.md` 4.1).

    `comparisons` is the gate TaintTolerationComparisonOperators, which `Lt` and `Gt` need.
    """
    if one.effect and one.effect != taint.effect:
        return False
    if one.key and one.key != taint.key:
        return False
    if one.operator in {"", "Equal"}:
        # an empty key with Equal is refused at admission; the scheduler itself compares the values only
        return one.value == taint.value
    if one.operator == "Exists":
        return True
    if one.operator in {"Lt", "Gt"} and comparisons:
        asked, has = integer(one.value), integer(taint.value)
        if asked is None or has is None:
            return False
        return has > asked if one.operator == "Gt" else has < asked
    return False


def added_tolerations(pod: Pod) -> tuple[Toleration, ...]:
    """What ExtendedResourceToleration adds: one for each extended resource (`scheduling.md` 4.3)."""
    names = {name for container in pod.containers for name in container}
    return tuple(
        Toleration(name, "Exists", "", "NoSchedule", added_by="ExtendedResourceToleration")
        for name in sorted(names)
        if is_extended(name)
    )


def tolerations_on(pod: Pod, node: NodeState) -> tuple[Toleration, ...]:
    """The pod's tolerations, with those that the node's platform adds, as far as that is known."""
    added = added_tolerations(pod) if node.node.extended_resource_toleration else ()
    return (*pod.tolerations, *added)


def untolerated(
    tolerations: Sequence[Toleration], taints: Sequence[Taint], *, comparisons: bool = False
) -> list[Taint]:
    """The taints that keep a pod away, in the node's order."""
    return [
        taint
        for taint in taints
        if repels(taint) and not any(tolerates(one, taint, comparisons=comparisons) for one in tolerations)
    ]


def check_taints(pod: Pod, node: NodeState, *, comparisons: bool = False) -> Iterator[Reason]:
    """Every taint that the pod does not tolerate."""
    tolerations = tolerations_on(pod, node)
    unread = any(route[:2] == ("spec", "tolerations") for route in pod.unread)
    maybe = added_tolerations(pod) if node.node.extended_resource_toleration is None else ()
    for taint in untolerated(tolerations, node.taints, comparisons=comparisons):
        near = near_miss(pod.tolerations, taint, comparisons=comparisons)
        added = any(tolerates(one, taint) for one in maybe)
        yield Reason(
            _PLUGIN,
            "taint",
            "unknown" if unread or added else "no",
            str(taint),
            near.route if near is not None else ("spec", "tolerations"),
            f"taint {taint!s}",
            (f"toleration {near.flaw}" if near is not None else "no toleration for it")
            + ("; some tolerations cannot be read" if unread else "")
            + ("; whether the cluster adds one (ExtendedResourceToleration) is not known" if added else ""),
            near,
        )
    if not node.node.taints_complete and not _tolerates_all(pod):
        yield Reason(_PLUGIN, "taint", "unknown", "", (), "", "which taints the nodes have is not known")


def _tolerates_all(pod: Pod) -> bool:
    return any(one.operator == "Exists" and not one.key and not one.effect for one in pod.tolerations)


def check_cordon(pod: Pod, node: NodeState, *, comparisons: bool = False) -> Iterator[Reason]:
    """NodeUnschedulable: a cordoned node takes only pods that tolerate the cordon."""
    if not node.unschedulable:
        return
    if not any(tolerates(one, CORDON, comparisons=comparisons) for one in pod.tolerations):
        yield Reason(
            "NodeUnschedulable", "cordon", "no", "", (), "spec.unschedulable", "the node is cordoned"
        )


def near_miss(
    tolerations: Sequence[Toleration], taint: Taint, *, comparisons: bool = False
) -> NearMiss | None:
    """The toleration that was meant for a taint: its field that is wrong, and how."""
    for one in tolerations:
        if not one.key or one.key != taint.key:
            continue
        if one.effect and one.effect != taint.effect:
            return NearMiss((*one.route, "effect"), f"has the effect {one.effect}, the taint {taint.effect}")
        if one.operator in {"Lt", "Gt"} and not comparisons:
            flaw = f"has the operator {one.operator}, which the cluster's release has switched off"
            return NearMiss((*one.route, "operator"), flaw)
        if one.operator in {"Lt", "Gt"}:
            flaw = f"asks for a value {one.operator} {one.value}, the taint has {taint.value or 'none'}"
            return NearMiss((*one.route, "value"), flaw)
        if one.operator not in {"", "Equal"}:
            return NearMiss((*one.route, "operator"), f"has the unknown operator {one.operator!r}")
        if one.value:
            has = repr(taint.value) if taint.value else "none"
            return NearMiss((*one.route, "value"), f"has the value {one.value!r}, the taint {has}")
        flaw = f"has no value, the taint {taint.value!r} (operator Exists would match any)"
        return NearMiss((*one.route, "key"), flaw)
    for one in tolerations:
        if one.key and SequenceMatcher(None, one.key, taint.key).ratio() > _SIMILAR:
            return NearMiss((*one.route, "key"), f"is for {one.key!r}, the taint is {taint.key!r}")
    return None
