"""nodeSelector and required node affinity against one node (NodeAffinity; `scheduling.md` 3)."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.kube.scheduling.labels import field_flaw, field_holds, flaw_of
from vllmlint.kube.scheduling.nodes import NodeState
from vllmlint.kube.scheduling.records import Answer, NodeTerm, Pod, Reason, Requirement, Route

_PLUGIN = "NodeAffinity"


def check_affinity(pod: Pod, node: NodeState) -> Iterator[Reason]:
    """Every selector pair and affinity term that keeps the pod off the node."""
    for key, value in pod.selector.items():
        route: Route = ("spec", "nodeSelector", key)
        truth = node.meets(Requirement(key, "In", (value,)))
        if truth is not True or route in pod.unread:
            answer_no = truth is False and route not in pod.unread
            yield _reason(f"{key}: {value}", route, key, node, definite=answer_no)
    if pod.node_terms is None:
        return
    required: Route = (
        "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution",
    )  # fmt: skip
    found = [list(_term(term, node, pod)) for term in pod.node_terms]
    if any(not reasons for reasons in found):
        return
    if not found:
        detail = "no node selector term: matches no node"
        yield Reason(_PLUGIN, "affinity", "no", "nodeSelectorTerms", required, "", detail)
    # an unknown in one alternative leaves the question open, whatever the others say
    open_terms = [reasons for reasons in found if all(one.answer == "unknown" for one in reasons)]
    for reasons in open_terms or found:
        if len(found) == 1:
            yield from reasons
        else:
            yield next((one for one in reasons if one.answer == "no"), reasons[0])


def _term(term: NodeTerm, node: NodeState, pod: Pod) -> Iterator[Reason]:
    """What keeps a term from matching; nothing when it matches."""
    if not term.expressions and not term.fields:
        yield Reason(_PLUGIN, "affinity", "no", "empty term", term.route, "", "an empty term matches no node")
        return
    flaws = [(one, flaw) for one in term.expressions if (flaw := flaw_of(one))]
    flaws += [(one, flaw) for one in term.fields if (flaw := field_flaw(one))]
    if flaws:
        for one, flaw in flaws:
            answer: Answer = "unknown" if one.route in pod.unread else "no"
            yield Reason(_PLUGIN, "affinity", answer, one.key, one.route, "", f"malformed term: {flaw}")
        return
    for one in term.expressions:
        truth = None if one.route in pod.unread else node.meets(one)
        if truth is not True:
            yield _reason(wanted(one), one.route, one.key, node, definite=truth is False)
    for one in term.fields:
        if node.name and not field_holds(one, node.name):
            fact = f"metadata.name={node.name}"
            yield Reason(_PLUGIN, "affinity", "no", wanted(one), one.route, fact, f"asks for {wanted(one)}")


def wanted(one: Requirement) -> str:
    """A requirement as people write it: `key: value`, `key NotIn [a, b]`, `key Exists`."""
    if one.operator == "In" and len(one.values) == 1:
        return f"{one.key}: {one.values[0]}"
    return f"{one.key} {one.operator} [{', '.join(one.values)}]".removesuffix(" []")


def _reason(wish: str, route: Route, key: str, node: NodeState, *, definite: bool) -> Reason:
    value = node.labels.get(key)
    if not definite and value is None:
        maybe = ", ".join(sorted(node.possible_values(key)))
        detail = f"asks for {wish}; whether the nodes carry that label is not known"
        if maybe:
            detail = f"asks for {wish}; the nodes may have {key}={maybe}, or no such label"
        return Reason(_PLUGIN, "affinity", "unknown", wish, route, "", detail)
    if not definite:
        detail = f"asks for {wish}, which cannot be read; the node has {key}={value}"
        return Reason(_PLUGIN, "affinity", "unknown", wish, route, f"label {key}={value}", detail)
    fact = f"label {key}={value}" if value is not None else f"no label {key}"
    has = f"the node has {key}={value}" if value is not None else f"the node has no label {key}"
    others = ", ".join(sorted(node.possible_values(key))) if value is None else ""
    if others:
        fact, has = f"label {key}: {others}", f"the nodes can have {key}={others} only"
    return Reason(_PLUGIN, "affinity", "no", wish, route, fact, f"asks for {wish}; {has}")
