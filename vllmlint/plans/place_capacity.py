"""Whether the pools have room for all pods of a workload: replicas, surge, autoscaling, groups."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Literal

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.kube.scheduling.pod_affinity import term_matches
from vllmlint.kube.scheduling.read_pod import NEWEST
from vllmlint.kube.scheduling.records import Answer, Pod
from vllmlint.manifest.nodes import Mapping, Node, Scalar
from vllmlint.manifest.text import Place
from vllmlint.plans.place import Placement, PoolVerdict
from vllmlint.plans.place_pod import pod_of
from vllmlint.record import record
from vllmlint.world import World

_HOSTNAME = "kubernetes.io/hostname"
#: Where KubeRay's kinds hold the cluster: RayCluster, RayService, RayJob.
_RAY_CLUSTERS = (("spec",), ("spec", "rayClusterConfig"), ("spec", "rayClusterSpec"))
#: The pods of a rollout beyond the replicas, where the Deployment does not say (apps/v1 defaults).
_DEFAULT_SURGE = "25%"


@record
class Room:
    """Whether pools have room for a number of pods at once.

    `kind` says what asks: the replicas, a rollout's surplus, the autoscaler's maximum, one group that must be
    there as a whole. `pods` is what it asks for, `room` what the pools that take the pod hold at most (None:
    not known); `place` is the characters that ask.
    """

    kind: Literal["replicas", "surge", "autoscaler", "group"]
    pods: int
    room: int | None
    answer: Answer
    place: Place | None = None
    source: str = ""


def room_for(placement: Placement, world: World) -> tuple[Room, ...]:
    """What the workload asks of its pools as a whole; empty where nothing takes the pod or nothing is known.

    Pools count as empty: the room is the best case.
    """
    if not placement.possible or placement.refused:
        return ()
    room = _sum(placement, placement.possible)
    return tuple(_demands(placement, world, room))


def pods_per_node(pod: Pod, pool: PoolVerdict) -> int | None:
    """How many pods of a kind one empty node holds; None where that is not known."""
    node = pool.profile.node
    limits: list[int] = []
    for name, ask in pod.requests.items():
        if ask.amount <= 0:
            continue
        has = node.allocatable_of(name)
        if has is None:
            continue
        if pool.members is not None:  # those that take the pod, not the smallest of the group
            has = max((has, *node.varying_amounts.get(name, ())))
        units = ceil(has * 1000) if name == "cpu" else int(has)
        limits.append(units // ask.amount)
    if pod.ports or _alone(pod):
        limits.append(1)
    return min(limits) if limits else None


def _alone(pod: Pod) -> bool:
    """Whether a pod keeps others of its kind off its node."""
    return any(one.topology_key == _HOSTNAME and term_matches(one, pod, {}) for one in pod.anti_affinity)


def _sum(placement: Placement, pools: tuple[PoolVerdict, ...]) -> int | None:
    total = 0
    for pool in pools:
        count = len(pool.members) if pool.members is not None else pool.profile.node.count
        each = pods_per_node(placement.pod, pool)
        if count is None or each is None:
            return None
        total += count * each
    return total


def _demands(placement: Placement, world: World, room: int | None) -> Iterator[Room]:
    workload = placement.workload
    size = group_pods(workload, world)
    if size is not None and size > 1:
        yield _room("group", size, room, group_size_node(workload))
    per_replica = 1 if size is None else size
    replicas = workload.replicas
    # a group whose size is not known asks for an unknown number of pods
    if replicas is not None and (size is not None or workload.carrier != "lws"):
        wanted = replicas * per_replica
        yield _room("replicas", wanted, room, workload.replicas_node)
        surge = surge_of(workload, replicas)
        if surge:
            yield _surge(placement, wanted, surge, room)
    for scaler in scalers_of(workload, world):
        field = "maxReplicas" if scaler.kind == "HorizontalPodAutoscaler" else "maxReplicaCount"
        most = scaler.node.integer("spec", field)
        if most is not None:
            node = scaler.node.at("spec", field)
            yield _room("autoscaler", most * per_replica, room, node, scaler.title)


def _room(
    kind: Literal["replicas", "surge", "autoscaler", "group"],
    pods: int,
    room: int | None,
    node: Node | None,
    source: str = "",
) -> Room:
    answer: Answer = "unknown" if room is None else "yes" if pods <= room else "no"
    place = node.content if isinstance(node, Scalar) else node.place if node is not None else None
    return Room(kind, pods, room, answer, place, source)


def _surge(placement: Placement, wanted: int, surge: int, room: int | None) -> Room:
    """A rollout's pods: against what the pools hold, or the GPUs that the contract says are spare."""
    spare = _spare_pods(placement)
    node = placement.workload.object.node.at("spec", "strategy", "rollingUpdate", "maxSurge")
    if spare is None:
        return _room("surge", wanted + surge, room, node)
    return _room("surge", wanted + surge, wanted + spare, node, f"{spare} pods fit on spare GPUs")


def _spare_pods(placement: Placement) -> int | None:
    """How many more pods the spare GPUs of the pools hold; None where a pool does not say."""
    total = 0
    for pool in placement.possible:
        spare = pool.profile.spare_gpus
        gpus = [ask.amount for name, ask in placement.pod.requests.items() if "/" in name and ask.amount]
        if spare is None or not gpus:
            return None
        total += spare // max(gpus)
    return total


def surge_of(workload: Workload, replicas: int) -> int:
    """The pods that a rollout makes beyond the replicas; 0 for what does not roll."""
    spec = workload.object.node
    if workload.carrier != "plain" or workload.kind != "Deployment":
        return 0
    if spec.string("spec", "strategy", "type") == "Recreate":
        return 0
    text = spec.string("spec", "strategy", "rollingUpdate", "maxSurge") or _DEFAULT_SURGE
    if text.endswith("%") and text[:-1].isdigit():
        return ceil(replicas * int(text[:-1]) / 100)
    return int(text) if text.isdigit() else 0


def group_pods(workload: Workload, world: World) -> int | None:
    """The pods of one LeaderWorkerSet group that are made from this template, all of which must be there for
    any to serve; of a Ray cluster those of all templates that ask for the same devices. None for other kinds
    and where the number cannot be told.

    With a template of its own the leader is one pod of the group, and the workers are the others.
    """
    if workload.carrier != "lws":
        return _ray_cluster_pods(workload, world)
    node = workload.object.node.at("spec", "leaderWorkerTemplate", "size")
    size = 1 if node is None else workload.object.node.integer("spec", "leaderWorkerTemplate", "size")
    facts = world.facts_of(workload.object)
    roles = [one for one in (facts.workloads if facts else ()) if one.object is workload.object]
    if size is None or len(roles) < 2:
        return size
    return 1 if workload.role == "leader" else size - 1


def group_size_node(workload: Workload) -> Node | None:
    """What says how many pods of a template a group has."""
    if workload.carrier == "lws":
        return workload.object.node.at("spec", "leaderWorkerTemplate", "size")
    found = _ray_group(workload)
    return found.at("replicas") if found is not None else None


def _ray_cluster_pods(workload: Workload, world: World) -> int | None:
    """The pods of a Ray cluster that ask for the same devices as this template's."""
    facts = world.facts_of(workload.object)
    same = [one for one in (facts.workloads if facts else ()) if one.object is workload.object]
    devices = _devices(workload)
    counts = [_ray_pods(one) for one in same if _devices(one) == devices]
    return None if not counts or None in counts else sum(count or 0 for count in counts)


def _devices(workload: Workload) -> dict[str, int]:
    """The extended resources that a pod asks for."""
    requests = pod_of(workload, NEWEST).requests
    return {name: ask.amount for name, ask in requests.items() if "/" in name and ask.amount}


def _ray_pods(workload: Workload) -> int | None:
    """The pods of a worker group of a Ray cluster, or its one head; None where an autoscaler decides."""
    obj = workload.object.node
    if any(obj.at(*route, "headGroupSpec", "template") is workload.template for route in _RAY_CLUSTERS):
        return 1
    group = _ray_group(workload)
    if group is None or any(obj.flag(*route, "enableInTreeAutoscaling") for route in _RAY_CLUSTERS):
        return None
    replicas, hosts = group.integer("replicas"), group.integer("numOfHosts")
    return None if replicas is None else replicas * (hosts or 1)


def _ray_group(workload: Workload) -> Mapping | None:
    """The entry of `workerGroupSpecs` whose template this is."""
    for route in _RAY_CLUSTERS:
        for group in workload.object.node.mappings(*route, "workerGroupSpecs"):
            if group.at("template") is workload.template:
                return group
    return None


def scalers_of(workload: Workload, world: World) -> Iterator[KubeObject]:
    """The autoscalers in sight that scale a workload."""
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        for scaler in world.index.nearby(kind, workload.object):
            target = scaler.node.mapping("spec", "scaleTargetRef")
            if target is None:
                continue
            kind_named = target.string("kind") or "Deployment"
            if target.string("name") == workload.object.name and kind_named == workload.kind:
                yield scaler
