"""What a pod asks of its node, and whether that tells the GPU."""

from __future__ import annotations

import re

from vllmlint.checks._hardware import pools_for
from vllmlint.finding import where
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


PLACEHOLDER = regex(r"\$[({A-Za-z]|\{\{|<[A-Za-z]")


@record
class Demand:
    """One condition on a node label; `place` are the characters that state it."""

    key: str
    operator: str
    values: tuple[str, ...]
    place: Place

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
    facts = [pool.profile.gpu for pool in pools_for(workload, world) if pool.profile.gpu is not None]
    return any(one.sharing != "none" or one.mig_strategy != "none" for one in facts) if facts else None


def selects_gpu_class(workload: Workload) -> bool:
    """Whether a pod requires a kind of GPU by a node label, or one that is filled in later."""
    return any(one.decides_gpu or any(map(PLACEHOLDER.search, one.values)) for one in demands_of(workload))


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
