"""Section scheduling: which nodes the pod may land on, by labels and taints alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from vllmlint.checks._hardware import NODES_FILE_IS_ALL, knows_nodes, placement, pools_for
from vllmlint.checks._nodes import PLACEHOLDER, demands_of, selects_gpu_class
from vllmlint.finding import Finding, Related, where
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Scalar
from vllmlint.wording import plural
from vllmlint.world import World

if TYPE_CHECKING:
    from vllmlint.kube.scheduling.records import Reason
    from vllmlint.plans.place import PlacedReason, PoolVerdict

#: Resources whose unit is a whole GPU of any model; other names (MIG, renamed ones) tell the model. With
#: the maker in GPU profiles, the span of models that vLLM 0.33.0 runs on, and a label that tells them apart.
_ANY_GPU = {
    "nvidia.com/gpu": ("nvidia-", "a 16 GB T4 to a 141 GB H200", "nvidia.com/gpu.product: NVIDIA-L40S"),
    "amd.com/gpu": ("amd-", "a 64 GB MI210 to a 288 GB MI355X", "amd.com/gpu.product-name: …"),
}
#: Pools whose reasons a message names.
_SHOWN_POOLS = 4
#: Taints that Kubernetes puts on a node that is down; pods tolerate them for 300 s by default.
_NODE_DOWN = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})


def gpu_node_profile_unpinned(workload: Workload, world: World) -> Iterator[Finding]:
    """A pod that takes any GPU."""
    gpu = _gpu_of(workload, world)
    if gpu is None or _placed_by_others(workload) or workload.carrier == "other" or gpu.text not in _ANY_GPU:
        return
    if not knows_nodes(workload, world):
        yield from _unpinned(workload, gpu)
        return
    kinds: dict[str, list[PoolVerdict]] = {}
    for pool in pools_for(workload, world):
        cards = pool.profile.gpus_for(gpu.text)
        if cards:
            kinds.setdefault(" or ".join(card.id for card in cards), []).append(pool)
    if len(kinds) > 1:
        selector = workload.spec.key("nodeSelector")
        lands = "; ".join(
            f"{kind} ({plural(len(pools), 'pool').partition(' ')[2]} {_names(pools)})"
            for kind, pools in kinds.items()
        )
        yield Finding(
            gpu.content,
            f"any of {len(kinds)} kinds of GPU can get this pod: {lands}. They differ in memory and in "
            "the formats they compute, so a reschedule can break a server that fits today",
            f"Select one kind by its labels{_telling(kinds)}.",
            "any GPU will do",
            related=(Related(selector.place, "does not tell them apart"),) if selector is not None else (),
        )


def gpu_toleration_missing(workload: Workload, world: World) -> Iterator[Finding]:
    """No toleration for the taint of the nodes the pod selects."""
    gpu = _gpu_of(workload, world)
    if gpu is None or _placed_by_others(workload):
        return
    if not knows_nodes(workload, world):
        if workload.carrier != "other":
            yield from _toleration_advice(workload, gpu)
        return
    blocked = [pool for pool in _refusing(workload, world) if _only_taints(pool)]
    if blocked:
        pool = next((one for one in blocked if any(each.near for each in one.reasons)), blocked[0])
        yield _blocked(workload, pool, gpu)


def no_pool_fits(workload: Workload, world: World) -> Iterator[Finding]:
    """A server that none of its nodes can take, for its labels or for what it asks for."""
    gpu = _gpu_of(workload, world)
    if gpu is None or workload.spec.scalar("nodeName") is not None:
        return
    pools = _refusing(workload, world)
    # where a toleration is all that is missing, gpu-toleration-missing says so
    if not pools or any(map(_only_taints, pools)):
        return
    nearest = min(pools, key=lambda pool: len(_against(pool)))
    reasons = [one for one in _against(nearest) if one.reason.code != "taint"]
    guilty = next((one for one in reasons if one.place is not None), reasons[0])
    from_file = world.nodes is not None
    yield Finding(
        guilty.place or gpu.content,
        _no_pool_message(guilty, nearest, pools, _scope(workload, world)),
        _no_pool_help(guilty, pools),
        _has(guilty.reason) or "no node takes it",
        confidence="medium" if from_file else "high",
        assumptions=(NODES_FILE_IS_ALL,) if from_file else (),
        related=tuple(
            Related(one.place, _has(one.reason) or one.reason.detail)
            for one in _against(nearest)
            if one is not guilty and one.place is not None and one.place != guilty.place
        )
        or ((Related(gpu.content, "needs GPU nodes"),) if guilty.reason.code == "affinity" else ()),
    )


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
        "there, and when it is not the kubelet fails the pod (`OutOfnvidia.com/gpu`); when the node is gone "
        "the pod is too",
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


def _refusing(workload: Workload, world: World) -> list[PoolVerdict]:
    """The pools with GPUs, where surely none of them takes the pod; empty where one does or may.

    All pools count where nothing tells that any has GPUs.
    """
    found = placement(workload, world)
    if found is None or found.refused:
        return []
    having = [pool for pool in found.pools if pool.profile.gpu is not None] or list(found.pools)
    return having if all(pool.answer == "no" for pool in having) else []


def _against(pool: PoolVerdict) -> list[PlacedReason]:
    """What surely keeps the pod off a pool."""
    return [one for one in pool.reasons if one.reason.answer == "no"]


def _only_taints(pool: PoolVerdict) -> bool:
    return all(one.reason.code == "taint" for one in _against(pool))


def _names(pools: Iterable[PoolVerdict]) -> str:
    return ", ".join(pool.profile.name for pool in pools)


def _telling(kinds: dict[str, list[PoolVerdict]]) -> str:
    """Labels of the first kind's nodes that the others do not have."""
    first, *others = kinds.values()
    own = first[0].profile.node.labels
    rest = [pool.profile.node.labels for pools in others for pool in pools]
    telling = [key for key, value in own.items() if all(labels.get(key) != value for labels in rest)]
    return f": `{{{telling[0]}: {own[telling[0]]}}}`" if telling else ""


def _scope(workload: Workload, world: World) -> str:
    if world.nodes is not None:
        return "of the nodes file"
    environment = world.environment_of(workload.object.file.path)
    return f"of the environment `{environment}`" if environment is not None else "of the contract"


def _no_pool_message(guilty: PlacedReason, nearest: PoolVerdict, pools: list[PoolVerdict], scope: str) -> str:
    reason = guilty.reason
    if reason.code == "affinity" and reason.node_fact:
        everywhere = all(
            any(one.reason.subject == reason.subject for one in _against(pool)) for pool in pools
        )
        wanted = f"`{reason.subject}`"
        what = f"the label {wanted}" if everywhere else f"all these labels ({wanted} and others)"
        return f"no node pool {scope} has {what}, so the pod stays Pending"
    more = len(_against(nearest)) - 1
    also = f" (and {plural(more, 'reason')} more)" if more else ""
    return (
        f"no node pool {scope} takes this pod, so it stays Pending: on `{nearest.profile.name}` "
        f"{_told(reason)}{also}"
    )


def _has(reason: Reason) -> str:
    """What the nodes have instead of what is asked for, in a few words."""
    if reason.code != "affinity":
        return reason.node_fact
    value = reason.node_fact.removeprefix("label ").partition("=")[2]
    return f"the nodes have {value}" if value else "the nodes lack it" if reason.node_fact else ""


def _told(reason: Reason) -> str:
    """A reason in words, with the resource it is about."""
    named = reason.code == "resource" and reason.subject not in reason.detail
    return f"{reason.subject}: {reason.detail}" if named else reason.detail


def _no_pool_help(guilty: PlacedReason, pools: list[PoolVerdict]) -> str:
    reason, hint = guilty.reason, ""
    if reason.code == "affinity":
        key, _, value = reason.subject.partition(": ")
        offered = sorted({pool.profile.node.labels.get(key, "") for pool in pools} - {""})
        near = get_close_matches(value, offered, n=1, cutoff=0.8) if value and value not in offered else []
        hint = f"Did you mean `{key}: {near[0]}`? " if near else ""
    shown = "; ".join(
        f"{pool.profile.name}: {', '.join(_told(one.reason) for one in _against(pool))}"
        for pool in pools[:_SHOWN_POOLS]
    )
    more = f"; and {len(pools) - _SHOWN_POOLS} more" if len(pools) > _SHOWN_POOLS else ""
    return f"{hint}What keeps it off: {shown}{more}. `vllmlint place` shows every reason."


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


def _on_gke(workload: Workload) -> bool:
    return any(demand.key.startswith("cloud.google.com/") for demand in demands_of(workload))


def _blocked(workload: Workload, pool: PoolVerdict, gpu: Scalar) -> Finding:
    placed = next((one for one in _against(pool) if one.near is not None), _against(pool)[0])
    reason, name = placed.reason, pool.profile.name
    fallback = workload.spec.key("tolerations") or workload.spec.key("nodeSelector")
    whole = where(fallback) if fallback is not None else gpu.content
    near = reason.near if placed.near is not None else None
    place = placed.near if near is not None and placed.near is not None else whole
    flaw = f" (this one {near.flaw})" if near is not None else ""
    key, value, effect = _taint_parts(reason.subject)
    operator = f', operator: Equal, value: "{value}"' if value else ", operator: Exists"
    return Finding(
        place,
        f"the node pool `{name}` has the taint `{reason.subject}`, which no toleration matches{flaw}: the "
        "pod stays Pending",
        f"Write `tolerations: [{{key: {key}{operator}, effect: {effect}}}]`.",
        "not the pool's taint" if near is not None else f"pool `{name}` is tainted",
        severity="error",
        related=(Related(gpu.content, "needs GPU nodes"),) if place != gpu.content else (),
    )


def _taint_parts(text: str) -> tuple[str, str, str]:
    """Key, value and effect of a taint as it is written: `key=value:effect`."""
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    return key, value, effect


def _toleration_advice(workload: Workload, gpu: Scalar) -> Iterator[Finding]:
    """Without a contract, for a pod that selects its GPU nodes: they often carry a taint."""
    on_one_node = any(demand.key == "kubernetes.io/hostname" for demand in demands_of(workload))
    # a pod that selects no kind of GPU has gpu-node-profile-unpinned instead
    placed = gpu.text in _ANY_GPU and selects_gpu_class(workload) and not on_one_node
    if not placed or _on_gke(workload) or workload.spec.at("tolerations") is not None:
        return
    platform = _tainting_platform(workload, gpu.text)
    who = f"{platform.upper()} taints" if platform else "clusters often taint"
    yield Finding(
        gpu.content,
        f"no toleration for GPU nodes: {who} them (`{gpu.text}:NoSchedule`), and there the pod stays Pending",
        f"Write `tolerations: [{{key: {gpu.text}, operator: Exists, effect: NoSchedule}}]`, or name the "
        "cluster's taints under `nodePools` in the contract.",
        "no toleration",
        severity="warning" if platform else "info",
        confidence="medium" if platform else "low",
        assumptions=("nothing in the cluster adds the toleration",)
        if platform
        else ("the GPU nodes are tainted",),
    )


def _tainting_platform(workload: Workload, resource: str) -> str | None:
    """The managed Kubernetes that the pod's labels name, where it taints GPU nodes by itself and is not known
    to add the toleration (node_taints.json)."""
    from vllmlint.hardware.labels import platform_of
    from vllmlint.hardware.taints import adds_resource_tolerations, default_taints

    platform = platform_of([demand.key for demand in demands_of(workload)])
    if platform is None or adds_resource_tolerations(platform):
        return None
    return platform if default_taints(platform, resource) else None
