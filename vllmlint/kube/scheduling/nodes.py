"""Nodes made ready for many questions: amounts in the scheduler's units, labels that may be unknown."""

from __future__ import annotations

from collections.abc import Mapping

from vllmlint.kube.node import Amount, Node, Taint
from vllmlint.kube.scheduling.amounts import scheduler_units
from vllmlint.kube.scheduling.labels import holds
from vllmlint.kube.scheduling.records import Requirement

#: The label that every kubelet sets to the node's name (or the host's).
HOSTNAME = "kubernetes.io/hostname"


class NodeState:
    """A node, or one that stands for the nodes of a pool (see `Node` for what may be unknown of those)."""

    __slots__ = ("allocatable", "labels", "name", "node", "taints", "unschedulable", "used")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.name = node.name
        self.labels = node.labels
        self.taints = node.taints
        self.unschedulable = node.unschedulable
        self.allocatable = _units(node.allocatable)
        self.used = _units(node.used)

    @property
    def taint_key(self) -> object:
        """Equal for nodes between which taints, cordons and what a platform adds to pods do not tell."""
        node = self.node
        return (self.taints, self.unschedulable, node.taints_complete, node.extended_resource_toleration)

    @property
    def amount_key(self) -> object:
        """Equal for nodes between which resources do not tell."""
        node = self.node
        known = (node.allocatable_complete, node.absent_resources, node.upper_bounds)
        return (tuple(sorted(self.allocatable.items())), tuple(sorted(self.used.items())), known)

    def label_key(self, key: str) -> object:
        """Equal for nodes between which a label does not tell."""
        value = self.labels.get(key)
        return value if value is not None or self._settled(key) else self.node.label_values(key)

    def _settled(self, key: str) -> bool:
        """Whether a label that is not among the node's is surely absent."""
        return self.node.labels_complete and key not in self.node.varying_labels

    def amount(self, resource: str) -> int | None:
        """Allocatable of a resource; 0 where the node has none of it, None where nothing tells."""
        found = self.allocatable.get(resource)
        if found is not None:
            return found
        return 0 if self.node.allocatable_of(resource) == 0 else None

    def at_most(self, resource: str) -> bool:
        """Whether the amount is an upper bound: what the kubelet keeps for itself is not known."""
        return resource in self.node.upper_bounds

    def meets(self, one: Requirement) -> bool | None:
        """Whether the node's labels meet a requirement; None when nothing tells."""
        value = self.labels.get(one.key)
        if value is not None or self._settled(one.key):
            return holds(one, self.labels)
        values = self.node.label_values(one.key)
        if values is None:
            return None
        answers = {holds(one, {} if each is None else {one.key: each}) for each in values}
        return answers.pop() if len(answers) == 1 else None

    def has_label(self, key: str) -> bool | None:
        """Whether the node carries a label; None when nothing tells."""
        if key in self.labels or (key == HOSTNAME and not self.node.labels_complete):
            return True
        return self.meets(Requirement(key, "Exists"))

    def possible_values(self, key: str) -> frozenset[str]:
        """The values that a label has, or may have."""
        return frozenset(one for one in self.node.label_values(key) or () if one is not None)


def _units(amounts: Mapping[str, Amount]) -> dict[str, int]:
    return {name: scheduler_units(name, amount) for name, amount in amounts.items()}


def repels(taint: Taint) -> bool:
    """Whether a taint keeps pods away: PreferNoSchedule only scores."""
    return taint.effect in {"NoSchedule", "NoExecute"}
