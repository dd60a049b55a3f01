"""Section scheduling: which nodes the pod may land on, by labels and taints alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches

from vllmlint.contract.settings import NodePool, Taint
from vllmlint.finding import Finding, Related, where
from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.manifest.text import Place
from vllmlint.world import World

#: Label keys whose value decides the GPU: feature discovery, clouds, autoscalers, node pools, one node.
_CLASS_KEY = re.compile(
    r"gpu[-_./]?(?:product|name|model|type|class|family|memory|vram|sku)|nvidia_(?:name|mem)|accelerator|device-id"
    r"|instance-?(?:type|gpu|family)|machine|node-?pool|node-?group|agentpool|compute-class|flavor|sku"
    r"|hostname|metadata\.name",
    re.IGNORECASE,
)
#: GPU models as they stand in label keys and values.
_MODEL = re.compile(
    r"(?<![a-z0-9])(?:[abhlv]\d{2,3}[sgi]?|gb?[bh]?\d{3}|l4|t4g?|p100|p40|rtx|geforce|tesla|quadro|mi\d{3}\w?|gaudi\d?|gb10)"
    r"(?![a-z])",
    re.IGNORECASE,
)
#: Values that say that there is a GPU, not which one.
_PRESENCE = frozenset({"", "true", "yes", "1", "on", "enabled", "present", "nvidia", "amd", "gpu"})
#: Labels that nodes carry whether a pool lists them or not: the kubelet's and feature discovery's.
_NODE_LABEL = re.compile(r"(?:[\w.-]+\.)?kubernetes\.io/|(?:nvidia|amd)\.com/")
_PLACEHOLDER = re.compile(r"\$[({A-Za-z]|\{\{|<[A-Za-z]")
#: Resources whose unit is a whole GPU of any model; other names (MIG, renamed ones) tell the model. With
#: the maker in GPU profiles, the span of models that vLLM 0.33.0 runs on, and a label that tells them apart.
_ANY_GPU = {
    "nvidia.com/gpu": ("nvidia-", "a 16 GB T4 to a 141 GB H200", "nvidia.com/gpu.product: NVIDIA-L40S"),
    "amd.com/gpu": ("amd-", "a 64 GB MI210 to a 288 GB MI355X", "amd.com/gpu.product-name: …"),
}
#: Taints that Kubernetes puts on a node that is down; pods tolerate them for 300 s by default.
_NODE_DOWN = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})


@dataclass(frozen=True, slots=True)
class _Demand:
    """One condition on a node label; `place` are the characters that state it."""

    key: str
    operator: str
    values: tuple[str, ...]
    place: Place

    def holds(self, labels: dict[str, str], declared: frozenset[str]) -> bool | None:
        """Whether nodes with these labels meet it (Kubernetes nodeaffinity.go); None when nothing tells."""
        value = labels.get(self.key)
        untold = self.key not in declared or (value is None and _NODE_LABEL.match(self.key) is not None)
        if untold or any(_PLACEHOLDER.search(one) for one in self.values):
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


def gpu_node_profile_unpinned(workload: Workload, world: World) -> Iterator[Finding]:
    """A pod that takes any GPU, or whose selector matches no node pool of the contract."""
    gpu = _gpu_of(workload, world)
    if gpu is None or _placed_by_others(workload):
        return
    pools = _pools(world, workload.object)
    if not pools:
        if workload.carrier != "other" and gpu.text in _ANY_GPU:
            yield from _unpinned(workload, gpu)
        return
    reachable = _reachable(workload, pools, world)
    if not reachable:
        yield _matches_no_pool(workload, pools, world, gpu)
        return
    if workload.carrier == "other" or gpu.text not in _ANY_GPU:
        return
    profiles: dict[str, list[str]] = {}
    for name, pool in reachable.items():
        maker_fits = pool.gpu is not None and pool.gpu.startswith(_ANY_GPU[gpu.text][0])
        if maker_fits and _untolerated(workload, pool, gpu.text) is None:
            profiles.setdefault(str(pool.gpu), []).append(name)
    if len(profiles) > 1:
        selector = workload.spec.key("nodeSelector")
        lands = "; ".join(f"{profile} (pool {', '.join(names)})" for profile, names in profiles.items())
        yield Finding(
            gpu.content,
            f"any of {len(profiles)} kinds of GPU can get this pod: {lands}. They differ in memory and in "
            "the formats they compute, so a reschedule can break a server that fits today",
            f"Select one pool by its labels: {_labels(reachable[next(iter(profiles.values()))[0]])}.",
            "any GPU will do",
            related=(Related(selector.place, "does not tell them apart"),) if selector is not None else (),
        )


def gpu_toleration_missing(workload: Workload, world: World) -> Iterator[Finding]:
    """No toleration for the taint of the nodes the pod selects."""
    gpu = _gpu_of(workload, world)
    if gpu is None or workload.carrier == "other" or _placed_by_others(workload):
        return
    pools = _pools(world, workload.object)
    if not pools:
        yield from _toleration_advice(workload, gpu)
        return
    reachable = _gpu_pools(_reachable(workload, pools, world), pools)
    taints = {name: _untolerated(workload, pool, gpu.text) for name, pool in reachable.items()}
    first = next(((name, taint) for name, taint in taints.items() if taint is not None), None)
    if first is not None and None not in taints.values():
        yield _blocked(workload, *first, gpu)


def toleration_too_broad(workload: Workload, world: World) -> Iterator[Finding]:
    """A toleration of every taint, or of dead nodes for ever."""
    if workload.kind == "DaemonSet" or all(server.is_simulator for server in world.servers_in(workload)):
        return
    for node in workload.spec.mappings("tolerations"):
        key, operator, effect = node.string("key") or "", node.scalar("operator"), node.string("effect") or ""
        bounded = node.scalar("tolerationSeconds") is not None
        if not key and operator is not None and operator.text == "Exists" and not bounded:
            what = f"every taint with the effect {effect}" if effect else "every taint"
            yield Finding(
                operator.content,
                f"this toleration has no key, so it tolerates {what}: the server may be placed on control "
                "plane nodes, on spot nodes and on nodes that are cordoned for a drain",
                "Name the taint: `{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}`.",
                "no key: tolerates all",
            )
        elif key in _NODE_DOWN and effect in {"", "NoExecute"} and not bounded:
            yield Finding(
                where(node.scalar("key") or node),
                f"`{key}` is tolerated without an end: when the GPU node dies, the pod stays bound to it "
                "and no replacement is made (Kubernetes' own toleration ends after 300 seconds)",
                "Remove the toleration, or add `effect: NoExecute` and `tolerationSeconds: 300`.",
                "tolerated for ever",
            )


def shares_gpus(workload: Workload, world: World) -> bool | None:
    """Whether the nodes of a pod hand out parts of GPUs as `nvidia.com/gpu`; None when nothing tells."""
    if any("shar" in text.lower() for demand in _demands(workload) for text in (demand.key, *demand.values)):
        return True
    pools = _pools(world, workload.object)
    reached = _gpu_pools(_reachable(workload, pools, world), pools).values()
    return any(pool.sharing is not None or pool.mig is not None for pool in reached) if reached else None


def selects_gpu_class(workload: Workload) -> bool:
    """Whether a pod requires a kind of GPU by a node label, or one that is filled in later."""
    return any(one.decides_gpu or any(map(_PLACEHOLDER.search, one.values)) for one in _demands(workload))


def _gpu_of(workload: Workload, world: World) -> Scalar | None:
    """The name of the first GPU resource that a server of the pod asks for, as it is written."""
    for server in world.servers_in(workload):
        for gpu in () if server.is_simulator else server.gpus:
            if gpu.count == 0 or gpu.accelerator.kind not in {"cuda", "rocm"}:
                continue
            for section in ("limits", "requests"):
                quantities = server.container.node.mapping("resources", section)
                key = quantities.key(gpu.resource) if quantities is not None else None
                if key is not None:
                    return key
    return None


def _placed_by_others(workload: Workload) -> bool:
    """Whether spec.nodeName binds the pod, or Kueue adds the selector and tolerations of a flavor."""
    labels = {**workload.labels, **workload.object.labels}
    return "kueue.x-k8s.io/queue-name" in labels or workload.spec.scalar("nodeName") is not None


def _pools(world: World, obj: KubeObject) -> dict[str, NodePool]:
    """The contract's node pools in the environment of an object's file."""
    contract = world.contract(obj)
    name = world.environment_of(obj.file.path)
    chosen = contract.environments[name].node_pools if name is not None else None
    return {key: pool for key, pool in contract.node_pools.items() if chosen is None or key in chosen}


def _gpu_pools(reached: dict[str, NodePool], pools: dict[str, NodePool]) -> dict[str, NodePool]:
    """The pools with GPUs; all, when the contract says of none of `pools` that it has any."""
    having = {name for name, pool in pools.items() if pool.gpu is not None or pool.gpus_per_node or pool.mig}
    return {name: pool for name, pool in reached.items() if name in having or not having}


def _terms(workload: Workload) -> list[tuple[_Demand, ...]]:
    """The alternatives of a pod's required placement; each is a list of demands that must all hold."""
    selector = workload.spec.mapping("nodeSelector")
    common = tuple(
        _Demand(key, "In", (node.text,), node.content)
        for key, node in (selector.entries.items() if selector is not None else ())
        if isinstance(node, Scalar)
    )
    required = workload.spec.at("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = required.mappings("nodeSelectorTerms") if required is not None else ()
    alternatives = [
        tuple(map(_expression, (*term.mappings("matchExpressions"), *term.mappings("matchFields"))))
        for term in terms
    ]
    # a term without expressions matches no node
    return [(*common, *term) for term in alternatives if term] or [common]


def _demands(workload: Workload) -> list[_Demand]:
    return [demand for term in _terms(workload) for demand in term]


def _expression(node: Mapping) -> _Demand:
    listed = node.sequence("values")
    items = [item for item in (listed.items if listed is not None else ()) if isinstance(item, Scalar)]
    place = items[0].content if len(items) == 1 else where(node.scalar("key") or node)
    values = tuple(item.text for item in items)
    return _Demand(node.string("key") or "", node.string("operator") or "", values, place)


def _declared(workload: Workload, world: World) -> frozenset[str]:
    """Label keys of which the contract's pools say something."""
    pools = world.contract(workload.object).node_pools
    return frozenset(key for pool in pools.values() for key in pool.labels)


def _reachable(workload: Workload, pools: dict[str, NodePool], world: World) -> dict[str, NodePool]:
    """The pools whose labels do not contradict what the pod requires."""
    declared, terms = _declared(workload, world), _terms(workload)

    def fits(labels: dict[str, str]) -> bool:
        return any(all(demand.holds(labels, declared) is not False for demand in term) for term in terms)

    return {name: pool for name, pool in pools.items() if fits(pool.labels)}


def _matches_no_pool(workload: Workload, pools: dict[str, NodePool], world: World, gpu: Scalar) -> Finding:
    declared = _declared(workload, world)
    demands = [demand for demand in _demands(workload) if demand.key in declared]
    alone = [d for d in demands if all(d.holds(pool.labels, declared) is False for pool in pools.values())]
    guilty = (alone or demands)[0]
    environment = world.environment_of(workload.object.file.path)
    scope = f" of the environment `{environment}`" if environment is not None else " of the contract"
    wanted = f"the label `{guilty.text}`" if alone else f"all these labels (`{guilty.text}` and others)"
    offered = sorted({pool.labels[guilty.key] for pool in pools.values() if guilty.key in pool.labels})
    near = get_close_matches(guilty.values[0], offered, n=1, cutoff=0.8) if guilty.values else []
    listed = "; ".join(f"{name}: {_labels(pool)}" for name, pool in pools.items() if pool.labels)
    return Finding(
        guilty.place,
        f"no node pool{scope} has {wanted}, so the pod stays Pending",
        (f"Did you mean `{guilty.key}: {near[0]}`? " if near and alone else "") + f"The pools are {listed}.",
        "no such nodes",
        severity="error",
        related=(Related(gpu.content, "needs GPU nodes"),),
    )


def _unpinned(workload: Workload, gpu: Scalar) -> Iterator[Finding]:
    """Without a contract: no demand that tells the GPU."""
    if selects_gpu_class(workload):
        return
    demands = _demands(workload)
    _, span, label = _ANY_GPU[gpu.text]
    message = (
        f"`{gpu.text}` is any GPU, from {span}, and {{}}: a reschedule can land where the model does not "
        "fit or its number format is not supported"
    )
    advice = (
        f"Select the GPU's class, for example `nodeSelector: {{{label}}}` (on GKE "
        "cloud.google.com/gke-accelerator), or describe the nodes with `nodePools` in the contract."
    )
    if not demands:
        text = message.format("nothing selects one")
        yield Finding(gpu.content, text, advice, "any GPU will do", confidence="medium")
        return
    yield Finding(
        demands[0].place,
        message.format(f"`{demands[0].text}` does not tell which"),
        advice,
        "does not name the GPU",
        confidence="low",
        assumptions=("the selected nodes do not all have the same GPU",),
        related=(Related(gpu.content, "any GPU will do"),),
    )


def _labels(pool: NodePool) -> str:
    return "`{" + ", ".join(f"{key}: {value}" for key, value in pool.labels.items()) + "}`"


def _tolerates(node: Mapping, taint: Taint) -> bool:
    """Whether a toleration tolerates a taint (Kubernetes core/v1 ToleratesTaint; scheduling.md, section 4.1).

    Lt and Gt, which a cluster must switch on, count as tolerating.
    """
    key, operator = node.string("key") or "", node.string("operator") or "Equal"
    effect, value = node.string("effect") or "", node.string("value") or ""
    if effect not in {"", taint.effect} or (key not in {"", taint.key}) or (not key and operator != "Exists"):
        return False
    return operator != "Equal" or value == taint.value


def _untolerated(workload: Workload, pool: NodePool, resource: str) -> Taint | None:
    """The first taint of a pool that keeps the pod away."""
    tolerations = list(workload.spec.mappings("tolerations"))
    if any(_PLACEHOLDER.search(node.place.text) for node in tolerations):
        return None
    gke = any(key.startswith("cloud.google.com/") for key in pool.labels) or _on_gke(workload)
    for taint in pool.taints:
        # GKE adds the toleration of the resource that the pod asks for (ExtendedResourceToleration)
        added = gke and taint.key == resource and taint.effect == "NoSchedule"
        if added or taint.effect == "PreferNoSchedule":
            continue
        if not any(_tolerates(node, taint) for node in tolerations):
            return taint
    return None


def _on_gke(workload: Workload) -> bool:
    return any(demand.key.startswith("cloud.google.com/") for demand in _demands(workload))


def _blocked(workload: Workload, name: str, taint: Taint, gpu: Scalar) -> Finding:
    written = f"{taint.key}{'=' + taint.value if taint.value else ''}:{taint.effect}"
    near = _near_miss(list(workload.spec.mappings("tolerations")), taint)
    fallback = workload.spec.key("tolerations") or workload.spec.key("nodeSelector")
    whole = where(fallback) if fallback is not None else gpu.content
    place, flaw, label = near or (whole, "", f"pool `{name}` is tainted")
    value = f', operator: Equal, value: "{taint.value}"' if taint.value else ", operator: Exists"
    return Finding(
        place,
        f"the node pool `{name}` has the taint `{written}`, which no toleration matches{flaw}: the "
        "pod stays Pending",
        f"Write `tolerations: [{{key: {taint.key}{value}, effect: {taint.effect}}}]`.",
        label,
        severity="error",
        related=(Related(gpu.content, "needs GPU nodes"),) if place != gpu.content else (),
    )


def _near_miss(tolerations: Sequence[Mapping], taint: Taint) -> tuple[Place, str, str] | None:
    """The toleration that was meant for a taint: its wrong characters, what is wrong, and a label."""
    for node in tolerations:
        key, effect, value = node.scalar("key"), node.scalar("effect"), node.scalar("value")
        if key is None or key.text != taint.key:
            continue
        if effect is not None and effect.text not in {"", taint.effect}:
            return effect.content, f" (this one is for {effect.text})", f"taint has {taint.effect}"
        if value is not None:
            return value.content, f" (this one has the value `{value.text}`)", f"taint has `{taint.value}`"
        return key.content, " (this one has no value, and needs one)", f"taint has the value `{taint.value}`"
    for node in tolerations:
        key = node.scalar("key")
        if key is not None and SequenceMatcher(None, key.text, taint.key).ratio() > 0.8:
            return key.content, f" (this one is for `{key.text}`)", f"taint is `{taint.key}`"
    return None


def _toleration_advice(workload: Workload, gpu: Scalar) -> Iterator[Finding]:
    """Without a contract, for a pod that selects its GPU nodes: they often carry a taint."""
    on_one_node = any(demand.key == "kubernetes.io/hostname" for demand in _demands(workload))
    # a pod that selects no kind of GPU has gpu-node-profile-unpinned instead
    placed = gpu.text in _ANY_GPU and selects_gpu_class(workload) and not on_one_node
    if not placed or _on_gke(workload) or workload.spec.at("tolerations") is not None:
        return
    yield Finding(
        gpu.content,
        f"no toleration for GPU nodes: clusters often taint them (`{gpu.text}:NoSchedule`), and there the "
        "pod stays Pending",
        f"Write `tolerations: [{{key: {gpu.text}, operator: Exists, effect: NoSchedule}}]`, or name the "
        "cluster's taints under `nodePools` in the contract.",
        "no toleration",
        severity="info",
        confidence="low",
        assumptions=("the GPU nodes are tainted",),
    )
