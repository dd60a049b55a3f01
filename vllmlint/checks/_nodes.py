"""What a pod asks of its node, and which pools of the contract give it."""

from __future__ import annotations

import re

from vllmlint.contract.settings import NodePool, Taint
from vllmlint.finding import where
from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.world import World

#: Label keys whose value decides the GPU: feature discovery, clouds, autoscalers, node pools, one node.
_CLASS_KEY = regex(
    r"gpu[-_./]?(?:product|name|model|type|class|family|memory|vram|sku)|nvidia_(?:name|mem)|accelerator|device-id"
    r"|instance-?(?:type|gpu|family)|machine|node-?pool|node-?group|agentpool|compute-class|flavor|sku"
    r"|hostname|metadata\.name",
    re.IGNORECASE,
)


#: GPU models as they stand in label keys and values.
_MODEL = regex(
    r"(?<![a-z0-9])(?:[abhlv]\d{2,3}[sgi]?|gb?[bh]?\d{3}|l4|t4g?|p100|p40|rtx|geforce|tesla|quadro|mi\d{3}\w?|gaudi\d?|gb10)"
    r"(?![a-z])",
    re.IGNORECASE,
)


#: Values that say that there is a GPU, not which one.
_PRESENCE = frozenset({"", "true", "yes", "1", "on", "enabled", "present", "nvidia", "amd", "gpu"})


#: Labels that nodes carry whether a pool lists them or not: the kubelet's and feature discovery's.
_NODE_LABEL = regex(r"(?:[\w.-]+\.)?kubernetes\.io/|(?:nvidia|amd)\.com/")


PLACEHOLDER = regex(r"\$[({A-Za-z]|\{\{|<[A-Za-z]")


@record
class Demand:
    """One condition on a node label; `place` are the characters that state it."""

    key: str
    operator: str
    values: tuple[str, ...]
    place: Place

    def holds(self, labels: dict[str, str], declared: frozenset[str]) -> bool | None:
        """Whether nodes with these labels meet it (Kubernetes nodeaffinity.go); None when nothing tells."""
        value = labels.get(self.key)
        untold = self.key not in declared or (value is None and _NODE_LABEL.match(self.key) is not None)
        if untold or any(PLACEHOLDER.search(one) for one in self.values):
            return None
        if self.operator == "In":
            return value in self.values
        if self.operator == "NotIn":
            return value not in self.values
        if self.operator in {"Exists", "DoesNotExist"}:
            return (value is not None) == (self.operator == "Exists")
        if self.operator in {"Gt", "Lt"} and len(self.values) == 1:
            if value is None or not value.lstrip("-").isdigit() or not self.values[0].lstrip("-").isdigit():
                return False
            above = int(value) - int(self.values[0])
            return above > 0 if self.operator == "Gt" else above < 0
        return None

    @property
    def decides_gpu(self) -> bool:
        """Whether it narrows the nodes to GPUs that its author knows."""
        if _MODEL.search(self.key) or any(_MODEL.search(value) for value in self.values):
            return True
        named = any(value.strip().lower() not in _PRESENCE for value in self.values)
        return named and _CLASS_KEY.search(self.key) is not None

    @property
    def text(self) -> str:
        """The condition as it is written: `key: value`, `key NotIn [a, b]`."""
        if self.operator == "In" and len(self.values) == 1:
            return f"{self.key}: {self.values[0]}"
        return f"{self.key} {self.operator} [{', '.join(self.values)}]".removesuffix(" []")


def shares_gpus(workload: Workload, world: World) -> bool | None:
    """Whether the nodes of a pod hand out parts of GPUs as `nvidia.com/gpu`; None when nothing tells."""
    if any(
        "shar" in text.lower() for demand in demands_of(workload) for text in (demand.key, *demand.values)
    ):
        return True
    pools = pools_of(world, workload.object)
    reached = gpu_pools(reachable_pools(workload, pools, world), pools).values()
    return any(pool.sharing is not None or pool.mig is not None for pool in reached) if reached else None


def selects_gpu_class(workload: Workload) -> bool:
    """Whether a pod requires a kind of GPU by a node label, or one that is filled in later."""
    return any(one.decides_gpu or any(map(PLACEHOLDER.search, one.values)) for one in demands_of(workload))


def pools_of(world: World, obj: KubeObject) -> dict[str, NodePool]:
    """The contract's node pools in the environment of an object's file."""
    contract = world.contract(obj)
    name = world.environment_of(obj.file.path)
    chosen = contract.environments[name].node_pools if name is not None else None
    return {key: pool for key, pool in contract.node_pools.items() if chosen is None or key in chosen}


def gpu_pools(reached: dict[str, NodePool], pools: dict[str, NodePool]) -> dict[str, NodePool]:
    """The pools with GPUs; all, when the contract says of none of `pools` that it has any."""
    having = {name for name, pool in pools.items() if pool.gpu is not None or pool.gpus_per_node or pool.mig}
    return {name: pool for name, pool in reached.items() if name in having or not having}


def terms_of(workload: Workload) -> list[tuple[Demand, ...]]:
    """The alternatives of a pod's required placement; each is a list of demands that must all hold."""
    selector = workload.spec.mapping("nodeSelector")
    common = tuple(
        Demand(key, "In", (node.text,), node.content)
        for key, node in (selector.entries.items() if selector is not None else ())
        if isinstance(node, Scalar)
    )
    required = workload.spec.at("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = required.mappings("nodeSelectorTerms") if required is not None else ()
    alternatives = [
        tuple(map(demand_of, (*term.mappings("matchExpressions"), *term.mappings("matchFields"))))
        for term in terms
    ]
    # a term without expressions matches no node
    return [(*common, *term) for term in alternatives if term] or [common]


def demands_of(workload: Workload) -> list[Demand]:
    return [demand for term in terms_of(workload) for demand in term]


def demand_of(node: Mapping) -> Demand:
    listed = node.sequence("values")
    items = [item for item in (listed.items if listed is not None else ()) if isinstance(item, Scalar)]
    place = items[0].content if len(items) == 1 else where(node.scalar("key") or node)
    values = tuple(item.text for item in items)
    return Demand(node.string("key") or "", node.string("operator") or "", values, place)


def declared_labels(workload: Workload, world: World) -> frozenset[str]:
    """Label keys of which the contract's pools say something."""
    pools = world.contract(workload.object).node_pools
    return frozenset(key for pool in pools.values() for key in pool.labels)


def reachable_pools(workload: Workload, pools: dict[str, NodePool], world: World) -> dict[str, NodePool]:
    """The pools whose labels do not contradict what the pod requires."""
    declared, terms = declared_labels(workload, world), terms_of(workload)

    def fits(labels: dict[str, str]) -> bool:
        return any(all(demand.holds(labels, declared) is not False for demand in term) for term in terms)

    return {name: pool for name, pool in pools.items() if fits(pool.labels)}


def tolerates(node: Mapping, taint: Taint) -> bool:
    """Whether a toleration tolerates a taint (Kubernetes core/v1 ToleratesTaint; scheduling.md, section 4.1).

    Lt and Gt, which a cluster must switch on, count as tolerating.
    """
    key, operator = node.string("key") or "", node.string("operator") or "Equal"
    effect, value = node.string("effect") or "", node.string("value") or ""
    if effect not in {"", taint.effect} or (key not in {"", taint.key}) or (not key and operator != "Exists"):
        return False
    return operator != "Equal" or value == taint.value
