"""Required pod affinity and anti-affinity (InterPodAffinity)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vllmlint.kube.scheduling.labels import selects
from vllmlint.kube.scheduling.nodes import NodeState
from vllmlint.kube.scheduling.records import LabelSelector, Pod, PodTerm, Reason

_PLUGIN = "InterPodAffinity"
#: The label that every namespace carries its own name in.
_NAMESPACE_NAME = "kubernetes.io/metadata.name"
#: A topology domain: the label key and its value.
Domain = tuple[str, str]
#: Labels of namespaces by name.
Namespaces = Mapping[str, Mapping[str, str]]


def term_matches(term: PodTerm, pod: Pod, namespaces: Namespaces) -> bool:
    """Whether a pod is one of those that a term is about."""
    within = pod.namespace in term.namespaces or _namespace_selected(
        term.namespace_selector, pod.namespace, namespaces
    )
    return within and selects(term.selector, pod.labels)


def _namespace_selected(selector: LabelSelector | None, name: str, namespaces: Namespaces) -> bool:
    labels = {_NAMESPACE_NAME: name, **namespaces.get(name, {})}
    return selector is not None and selects(selector, labels)


class PodAffinityState:
    """What one pod's scheduling attempt knows of the pods that run: the domains they make good or bad.

    `there` are pods with the node each runs on.
    """

    def __init__(self, pod: Pod, there: Sequence[tuple[Pod, NodeState]], namespaces: Namespaces) -> None:
        self.pod = pod
        self._repelled: set[Domain] = set()  # by anti-affinity of pods that run
        self._bad: list[set[str]] = [set() for _ in pod.anti_affinity]
        self._good: list[set[str]] = [set() for _ in pod.affinity]
        for other, node in there:
            for term in other.anti_affinity:
                value = node.labels.get(term.topology_key)
                if value is not None and term_matches(term, pod, namespaces):
                    self._repelled.add((term.topology_key, value))
            for term, bad in zip(pod.anti_affinity, self._bad, strict=True):
                value = node.labels.get(term.topology_key)
                if value is not None and term_matches(term, other, namespaces):
                    bad.add(value)
            if pod.affinity and all(term_matches(term, other, namespaces) for term in pod.affinity):
                for term, good in zip(pod.affinity, self._good, strict=True):
                    value = node.labels.get(term.topology_key)
                    if value is not None:
                        good.add(value)
        self.matches_itself = all(term_matches(term, pod, namespaces) for term in pod.affinity)

    def check(self, node: NodeState) -> Iterator[Reason]:
        """Why the pods that run keep the pod off a node."""
        yield from self._check_affinity(node)
        for term, bad in zip(self.pod.anti_affinity, self._bad, strict=True):
            value = node.labels.get(term.topology_key)
            if value in bad:
                fact = f"a pod that matches runs in {term.topology_key}={value}"
                yield Reason(
                    _PLUGIN, "anti-affinity", "no", term.topology_key, term.route, fact, fact, for_good=False
                )
        for key, value in sorted(self._repelled):
            if node.labels.get(key) == value:
                fact = f"a pod in {key}={value} wants no such pod beside it"
                yield Reason(_PLUGIN, "existing-anti-affinity", "no", key, (), fact, fact, for_good=False)

    def _check_affinity(self, node: NodeState) -> Iterator[Reason]:
        found = True
        for term, good in zip(self.pod.affinity, self._good, strict=True):
            value = node.labels.get(term.topology_key)
            if value is None:
                fact = f"no label {term.topology_key}"
                yield Reason(
                    _PLUGIN, "pod-affinity", "no", term.topology_key, term.route, fact, f"the node has {fact}"
                )
                return
            found = found and value in good
        # the first pod of a group that wants to be together may go anywhere
        if found or (self.matches_itself and not any(self._good)):
            return
        first = self.pod.affinity[0]
        fact = f"no pod that matches runs in {first.topology_key}={node.labels[first.topology_key]}"
        yield Reason(_PLUGIN, "pod-affinity", "no", first.topology_key, first.route, fact, fact)


def check_alone(pod: Pod, node: NodeState, namespaces: Namespaces) -> Iterator[Reason]:
    """Pod affinity where nothing is known of other pods: the best case, an empty node, decides.

    Anti-affinity keeps nobody off an empty node; affinity to others cannot be told.
    """
    for term in pod.affinity:
        there = node.has_label(term.topology_key)
        fact = f"no label {term.topology_key}"
        if there is False:
            yield Reason(
                _PLUGIN, "pod-affinity", "no", term.topology_key, term.route, fact, f"the node has {fact}"
            )
        elif not term_matches(term, pod, namespaces):
            detail = "whether pods that it must run beside are there is not known"
            yield Reason(_PLUGIN, "pod-affinity", "unknown", term.topology_key, term.route, "", detail)
        elif there is None:
            detail = f"whether the nodes carry the label {term.topology_key} is not known"
            yield Reason(_PLUGIN, "pod-affinity", "unknown", term.topology_key, term.route, "", detail)
