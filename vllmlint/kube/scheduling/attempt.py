"""One pod's scheduling attempt: every node, every reason (`scheduling.md` 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from vllmlint.kube.scheduling.affinity import check_affinity
from vllmlint.kube.scheduling.cluster import Cluster
from vllmlint.kube.scheduling.dra.claims import ClaimState
from vllmlint.kube.scheduling.nodes import HOSTNAME, NodeState
from vllmlint.kube.scheduling.pod_affinity import PodAffinityState
from vllmlint.kube.scheduling.pod_affinity import check_alone as affinity_alone
from vllmlint.kube.scheduling.ports import check_ports
from vllmlint.kube.scheduling.records import Pod, Reason, Verdict, verdict
from vllmlint.kube.scheduling.resources import check_resources
from vllmlint.kube.scheduling.spread import SpreadState
from vllmlint.kube.scheduling.spread import check_alone as spread_alone
from vllmlint.kube.scheduling.taints import check_cordon, check_taints
from vllmlint.kube.scheduling.volumes import VolumeState
from vllmlint.record import replace

#: The scheduler's plugins in the order in which it asks them; of a node it reports the first that says no.
PLUGINS = (
    "SchedulingGates",
    "NodeUnschedulable",
    "NodeName",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "VolumeRestrictions",
    "VolumeBinding",
    "VolumeZone",
    "PodTopologySpread",
    "InterPodAffinity",
    "DynamicResources",
)


class Attempt:
    """A pod against a cluster; what does not depend on the node is worked out once."""

    def __init__(self, pod: Pod, cluster: Cluster) -> None:
        self.pod = pod
        self.cluster = cluster
        self._comparisons = cluster.gate("TaintTolerationComparisonOperators")
        self._claims = ClaimState(pod, cluster)
        self._volumes = VolumeState(pod, cluster.storage, cluster.running) if pod.volumes else None
        self._spread: SpreadState | None = None
        self._parts: dict[tuple[object, ...], tuple[Reason, ...]] = {}
        self._found: dict[tuple[object, ...], tuple[Reason, ...]] = {}
        self._affinity: PodAffinityState | None = None
        if cluster.pods_known:
            there = [
                (one, node) for one in cluster.running if (node := cluster.node(one.node_name)) is not None
            ]
            repelling = any(one.anti_affinity for one, _ in there)
            if pod.affinity or pod.anti_affinity or repelling:
                self._affinity = PodAffinityState(pod, there, cluster.namespaces)
            if pod.spread:
                loads = [(node, cluster.load(node.name).pods) for node in cluster.nodes]
                self._spread = SpreadState(pod, loads, comparisons=self._comparisons)

    @cached_property
    def keys(self) -> frozenset[str]:
        """The node labels whose values the pod's selector and required affinity look at."""
        terms = [one.key for term in self.pod.node_terms or () for one in term.expressions]
        return frozenset((*self.pod.selector, *terms))

    @cached_property
    def names_nodes(self) -> bool:
        """Whether the pod's demands look at the names of nodes."""
        return bool(self.pod.node_name) or any(term.fields for term in self.pod.node_terms or ())

    def verdicts(self) -> list[Verdict]:
        """The verdict for each node of the cluster, in its order."""
        found = [self.verdict(node) for node in self.cluster.nodes]
        aborted = next((reason for one in found if (reason := _abort(one)) is not None), None)
        if aborted is None:
            return found
        # an error is not "no": it ends the attempt, so that no node gets the pod
        return [
            one if one.answer == "no" else Verdict(one.node, "no", (*one.reasons, aborted)) for one in found
        ]

    def verdict(self, node: NodeState) -> Verdict:
        """The verdict for one node, by itself."""
        return verdict(node.name, list(self.reasons(node)))

    def reasons(self, node: NodeState) -> tuple[Reason, ...]:
        """Every reason against one node; the same objects for nodes that do not differ in what is asked."""
        if self.pod.node_name:
            return tuple(self._bound(node))
        if not self._separable:
            return tuple(self._reasons(node))
        taints, amounts = self.cluster.classes(node)
        labels = tuple(node.label_key(key) for key in self._label_keys)
        whole = (taints, amounts, labels, node.name if self.names_nodes else "")
        found = self._found.get(whole)
        if found is None:
            found = self._found[whole] = (
                *self._kept((0, taints), self._gates, node),
                *self._kept((1, labels, whole[3]), self._labels, node),
                *self._kept((2, amounts), self._resources, node),
                *self._kept((3, labels), self._neighbours, node),
            )
        return found

    def _kept(
        self, key: tuple[object, ...], ask: Callable[[NodeState], Iterator[Reason]], node: NodeState
    ) -> tuple[Reason, ...]:
        found = self._parts.get(key)
        if found is None:
            found = self._parts[key] = tuple(ask(node))
        return found

    @cached_property
    def _separable(self) -> bool:
        """Whether each reason depends on one thing of the node only: taints, labels or amounts."""
        pod, devices = self.pod, self.cluster.devices
        return not (self.cluster.pods_known or pod.claims or pod.volumes or devices.classes)

    @cached_property
    def _label_keys(self) -> tuple[str, ...]:
        topology = {one.topology_key for one in self.pod.affinity}
        topology |= {one.topology_key for one in self.pod.spread}
        # equal nodes all have a host name
        return tuple(sorted(self.keys | {key for key in topology if key != HOSTNAME}))

    def _reasons(self, node: NodeState) -> Iterator[Reason]:
        yield from self._gates(node)
        yield from self._labels(node)
        yield from check_ports(self.pod, self.cluster.load(node.name).ports)
        yield from self._resources(node)
        if self._volumes is not None:
            yield from self._volumes.check(node)
        yield from self._neighbours(node)
        yield from self._claims.check(node)

    def _gates(self, node: NodeState) -> Iterator[Reason]:
        pod = self.pod
        if pod.gates:
            text = f"waiting for scheduling gates: [{' '.join(pod.gates)}]"
            yield Reason("SchedulingGates", "gated", "no", "", ("spec", "schedulingGates"), "", text)
        yield from check_cordon(pod, node, comparisons=self._comparisons)
        yield from check_taints(pod, node, comparisons=self._comparisons)

    def _labels(self, node: NodeState) -> Iterator[Reason]:
        return check_affinity(self.pod, node)

    def _neighbours(self, node: NodeState) -> Iterator[Reason]:
        pod = self.pod
        if self._spread is not None:
            yield from self._spread.check(node)
        elif pod.spread:
            yield from spread_alone(pod, node)
        if self._affinity is not None:
            yield from self._affinity.check(node)
        elif pod.affinity:
            yield from affinity_alone(pod, node, self.cluster.namespaces)

    def _resources(self, node: NodeState) -> Iterator[Reason]:
        load = self.cluster.load(node.name)
        used, pods = (load.used, len(load.pods)) if self.cluster.pods_known else (node.used, None)
        yield from check_resources(self.pod, node, used, pods, lambda name: self._claims.serves(name, node))

    def _bound(self, node: NodeState) -> Iterator[Reason]:
        """A pod with `nodeName` skips the scheduler: the kubelet alone decides (`scheduling.md` 8).

        It looks at resources, ports, selector and affinity, and of the taints at NoExecute only.
        """
        pod = self.pod
        if pod.node_name != node.name:
            fact = f"metadata.name={node.name}"
            yield Reason(
                "NodeName",
                "node-name",
                "no",
                pod.node_name,
                ("spec", "nodeName"),
                fact,
                "another node is named",
            )
            return
        executing = NodeState(
            replace(node.node, taints=tuple(t for t in node.taints if t.effect == "NoExecute"))
        )
        for reason in (
            *check_taints(pod, executing, comparisons=self._comparisons),
            *check_affinity(pod, node),
            *check_ports(pod, self.cluster.load(node.name).ports),
            *self._resources(node),
        ):
            yield replace(reason, plugin="kubelet")


def _abort(one: Verdict) -> Reason | None:
    """The error of a node that all earlier plugins let the pod on."""
    if not one.reasons or one.reasons[0].code != "dra-error":
        return None
    return one.reasons[0]


def first_reasons(one: Verdict) -> tuple[Reason, ...]:
    """What the scheduler itself reports of a node: the reasons of the first plugin that rejects it."""
    definite = [reason for reason in one.reasons if reason.answer == "no"]
    if not definite:
        return ()
    rank = min(_rank(reason) for reason in definite)
    first = [reason for reason in definite if _rank(reason) == rank]
    # all missing resources are reported, of the other plugins only the first reason
    return tuple(first) if first[0].plugin == "NodeResourcesFit" else (first[0],)


def _rank(reason: Reason) -> int:
    return PLUGINS.index(reason.plugin) if reason.plugin in PLUGINS else 0
