"""Section scheduling: which nodes the pod may land on, by labels and taints alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher, get_close_matches

from vllmlint.checks._nodes import (
    PLACEHOLDER,
    declared_labels,
    demands_of,
    gpu_pools,
    pools_of,
    reachable_pools,
    selects_gpu_class,
    tolerates,
)
from vllmlint.contract.settings import NodePool, Taint
from vllmlint.finding import Finding, Related, where
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.manifest.text import Place
from vllmlint.world import World

#: Resources whose unit is a whole GPU of any model; other names (MIG, renamed ones) tell the model. With
#: the maker in GPU profiles, the span of models that vLLM 0.33.0 runs on, and a label that tells them apart.
_ANY_GPU = {
    "nvidia.com/gpu": ("nvidia-", "a 16 GB T4 to a 141 GB H200", "nvidia.com/gpu.product: NVIDIA-L40S"),
    "amd.com/gpu": ("amd-", "a 64 GB MI210 to a 288 GB MI355X", "amd.com/gpu.product-name: …"),
}
#: Taints that Kubernetes puts on a node that is down; pods tolerate them for 300 s by default.
_NODE_DOWN = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})


def gpu_node_profile_unpinned(workload: Workload, world: World) -> Iterator[Finding]:
    """A pod that takes any GPU, or whose selector matches no node pool of the contract."""
    gpu = _gpu_of(workload, world)
    if gpu is None or _placed_by_others(workload):
        return
    pools = pools_of(world, workload.object)
    if not pools:
        if workload.carrier != "other" and gpu.text in _ANY_GPU:
            yield from _unpinned(workload, gpu)
        return
    reachable = reachable_pools(workload, pools, world)
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
    pools = pools_of(world, workload.object)
    if not pools:
        yield from _toleration_advice(workload, gpu)
        return
    reachable = gpu_pools(reachable_pools(workload, pools, world), pools)
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


def node_name_pinned(workload: Workload, world: World) -> Iterator[Finding]:
    """A pod bound to one node by its name, past the scheduler."""
    node_name = workload.spec.scalar("nodeName")
    # a binding fills the field in: an object read from a cluster carries a status
    bound = workload.kind == "Pod" and workload.object.node.at("status") is not None
    if node_name is None or bound or PLACEHOLDER.search(node_name.text) or not world.servers_in(workload):
        return
    gpu = _gpu_of(workload, world)
    yield Finding(
        node_name.content,
        f"`nodeName: {node_name.text}` binds the pod past the scheduler: nobody looks whether a GPU is free "
        "there, "
        "and when it is not the kubelet fails the pod (`OutOfnvidia.com/gpu`); when the node is gone the pod "
        "is too",
        "Write a nodeSelector on a label of the GPU nodes; for one certain node, on kubernetes.io/hostname.",
        "past the scheduler",
        related=(Related(gpu.content, "needs a free GPU"),) if gpu is not None else (),
    )


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


def _matches_no_pool(workload: Workload, pools: dict[str, NodePool], world: World, gpu: Scalar) -> Finding:
    declared = declared_labels(workload, world)
    demands = [demand for demand in demands_of(workload) if demand.key in declared]
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
    demands = demands_of(workload)
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


def _untolerated(workload: Workload, pool: NodePool, resource: str) -> Taint | None:
    """The first taint of a pool that keeps the pod away."""
    tolerations = list(workload.spec.mappings("tolerations"))
    if any(PLACEHOLDER.search(node.place.text) for node in tolerations):
        return None
    gke = any(key.startswith("cloud.google.com/") for key in pool.labels) or _on_gke(workload)
    for taint in pool.taints:
        # GKE adds the toleration of the resource that the pod asks for (ExtendedResourceToleration)
        added = gke and taint.key == resource and taint.effect == "NoSchedule"
        if added or taint.effect == "PreferNoSchedule":
            continue
        if not any(tolerates(node, taint) for node in tolerations):
            return taint
    return None


def _on_gke(workload: Workload) -> bool:
    return any(demand.key.startswith("cloud.google.com/") for demand in demands_of(workload))


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
    on_one_node = any(demand.key == "kubernetes.io/hostname" for demand in demands_of(workload))
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
