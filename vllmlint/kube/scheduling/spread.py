"""Topology spread constraints that reject (PodTopologySpread)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vllmlint.kube.scheduling.labels import node_matches, selects
from vllmlint.kube.scheduling.nodes import NodeState
from vllmlint.kube.scheduling.records import Pod, Reason, Spread
from vllmlint.kube.scheduling.taints import untolerated

_PLUGIN = "PodTopologySpread"


class SpreadState:
    """How the pods that each constraint counts are spread over its domains now."""

    def __init__(
        self,
        pod: Pod,
        nodes: Sequence[tuple[NodeState, Sequence[Pod]]],
        *,
        comparisons: bool = False,
    ) -> None:
        self.pod = pod
        self._counts: list[dict[str, int]] = [{} for _ in pod.spread]
        self._lowest: list[int] = []
        self._count(nodes, comparisons)
        for one, counts in zip(pod.spread, self._counts, strict=True):
            # with fewer domains than minDomains the emptiest one counts as empty
            few = len(counts) < max(one.min_domains, 1)
            self._lowest.append(0 if few else min(counts.values()))

    def _count(self, nodes: Sequence[tuple[NodeState, Sequence[Pod]]], comparisons: bool) -> None:
        constraints = self.pod.spread
        for node, pods in nodes:
            if not all(one.topology_key in node.labels for one in constraints):
                continue
            matches = node_matches(self.pod, node.labels, node.name)
            tolerated = not untolerated(self.pod.tolerations, node.taints, comparisons=comparisons)
            for one, counts in zip(constraints, self._counts, strict=True):
                if (one.honor_affinity and not matches) or (one.honor_taints and not tolerated):
                    continue
                value = node.labels[one.topology_key]
                counts[value] = counts.get(value, 0) + sum(self._counted(one, other) for other in pods)

    def _counted(self, one: Spread, other: Pod) -> bool:
        """Whether a running pod counts; an empty selector counts none, a pod that is leaving does not."""
        if one.selector is None or not one.selector.requirements or other.terminating:
            return False
        return other.namespace == self.pod.namespace and selects(one.selector, other.labels)

    def check(self, node: NodeState) -> Iterator[Reason]:
        """Every constraint that the pod would break on a node."""
        for one, counts, lowest in zip(self.pod.spread, self._counts, self._lowest, strict=True):
            value = node.labels.get(one.topology_key)
            if value is None:
                yield _no_label(one)
                continue
            itself = 1 if selects(one.selector, self.pod.labels) else 0
            there = counts.get(value, 0)
            if there + itself - lowest > one.max_skew:
                fact = f"{there} such pods in {one.topology_key}={value}, {lowest} in the emptiest domain"
                detail = f"one more would make the skew {there + itself - lowest}, allowed is {one.max_skew}"
                yield Reason(
                    _PLUGIN, "spread", "no", one.topology_key, one.route, fact, detail, for_good=False
                )


def _no_label(one: Spread) -> Reason:
    fact = f"no label {one.topology_key}"
    return Reason(_PLUGIN, "spread-label", "no", one.topology_key, one.route, fact, f"the node has {fact}")


def check_alone(pod: Pod, node: NodeState) -> Iterator[Reason]:
    """Spread constraints where nothing is known of other pods: a first pod breaks none where the label is."""
    for one in pod.spread:
        there = node.has_label(one.topology_key)
        if there is False:
            yield _no_label(one)
        elif there is None:
            detail = f"whether the nodes carry the label {one.topology_key} is not known"
            yield Reason(_PLUGIN, "spread-label", "unknown", one.topology_key, one.route, "", detail)
