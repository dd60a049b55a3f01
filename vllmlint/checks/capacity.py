"""Rules about how many pods the nodes hold: replicas, groups, autoscaler maxima, quotas, spread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vllmlint.checks._groups import templates_of
from vllmlint.checks._hardware import NODES_FILE_IS_ALL, knows_nodes, placement, pools_for
from vllmlint.finding import Finding, Related, where
from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.kube.quantity import parse_quantity
from vllmlint.manifest.nodes import Scalar
from vllmlint.manifest.text import Place
from vllmlint.serving.server import GpuRequest
from vllmlint.wording import plural
from vllmlint.world import World

if TYPE_CHECKING:
    from vllmlint.plans.place import Placement

#: GPUs of the usual largest machine: a pod that takes them all is alone on its node.
_WHOLE_NODE = 8


def gpu_pool_capacity(workload: Workload, world: World) -> Iterator[Finding]:
    """More pods than the pools that take them can hold, or than the namespace's quota of GPUs allows."""
    gpu = _gpu_of(workload, world)
    alike = [] if gpu is None else _alike(workload, gpu, world)
    # of the templates of a group that ask for the same GPUs, the first speaks for all
    if gpu is None or not alike or alike[0] is not workload:
        return
    size, replicas = _group_size(alike, world), workload.replicas
    found = placement(workload, world)
    if found is not None and size is not None:
        from vllmlint.plans.place_capacity import room_for

        holds = next((one.room for one in room_for(found, world)), None)
        if holds is not None and holds < size * (replicas if replicas is not None else 1):
            yield _no_room(workload, found, gpu, size, holds)
            return
    pods = None if replicas is None or size is None else replicas * size
    yield from _over_quota(workload, world, gpu, pods, _replicas_place(workload), "the replicas")


def _no_room(workload: Workload, found: Placement, gpu: GpuRequest, size: int, holds: int) -> Finding:
    """Pods for which the nodes have no room: of all replicas, or already of one group of `size` pods."""
    names = ", ".join(pool.profile.name for pool in found.possible if pool.profile.gpu is not None)
    whole = size > 1 and holds < size
    from vllmlint.plans.place_capacity import group_size_node

    told = group_size_node(workload) if whole else None
    node = told if isinstance(told, Scalar) else None
    pods = size if whole else size * (workload.replicas or 1)
    needs = "a group needs" if whole else "the replicas need"
    left = pods - holds
    lower = "Choose a smaller group" if whole else f"Lower it to {holds // size}"
    return Finding(
        node.content if node is not None else _replicas_place(workload),
        f"{needs} {plural(pods, 'pod')} of {plural(gpu.count or 0, 'GPU')}, and the nodes that take them "
        f"(pool {names}) hold {holds}: {plural(left, 'pod')} {'stays' if left == 1 else 'stay'} Pending",
        f"{lower}, ask for fewer GPUs a pod, or add nodes (`nodes` of the pool in the contract).",
        f"room for {plural(holds, 'pod')}",
        confidence="medium" if found.origin == "nodes-file" else "high",
        assumptions=(NODES_FILE_IS_ALL,) if found.origin == "nodes-file" else (),
        related=(Related(gpu.node.content, "in each pod"),),
    )


def _alike(workload: Workload, gpu: GpuRequest, world: World) -> list[Workload]:
    """The templates of a group whose pods ask for as many of the same GPUs; else the workload alone."""
    if workload.carrier == "plain":
        return [workload]
    from vllmlint.plans.place_capacity import group_pods

    if group_pods(workload, world) is None:
        return [workload]
    return [one for one in templates_of(workload.object, world) if _asks(one, gpu.resource) == gpu.count]


def _asks(workload: Workload, resource: str) -> int:
    amounts = [
        parse_quantity(node.text.strip())
        for container in workload.containers
        if container.role != "init" and (node := container.resource("limits", resource)) is not None
    ]
    return int(sum(amount for amount in amounts if amount is not None))


def _group_size(templates: list[Workload], world: World) -> int | None:
    """The pods of these templates in one replica; None where a group's size cannot be told."""
    if templates[0].carrier == "plain":
        return 1
    from vllmlint.plans.place_capacity import group_pods

    if templates[0].carrier != "lws":
        return group_pods(templates[0], world) or 1  # of all templates of a Ray cluster
    sizes = [group_pods(one, world) for one in templates]
    return None if None in sizes else sum(size or 0 for size in sizes)


def autoscaler_max_above_capacity(workload: Workload, world: World) -> Iterator[Finding]:
    """An autoscaler that may ask for more pods than the nodes or the quota hold."""
    gpu = _gpu_of(workload, world)
    if gpu is None or gpu.count is None:
        return
    found = placement(workload, world)
    if found is not None:
        from vllmlint.plans.place_capacity import room_for

        for room in room_for(found, world):
            if room.kind == "autoscaler" and room.answer == "no" and room.place is not None:
                yield Finding(
                    _in_sight(room.place, workload, world),
                    f"{room.source} may ask for {plural(room.pods, 'pod')} of {plural(gpu.count, 'GPU')}, "
                    f"and the nodes that take them hold {room.room}: under load the others stay Pending, "
                    "and a rollout waits for them",
                    f"Lower the maximum to {room.room}, or raise `nodes` of the pool in the contract.",
                    f"room for {room.room}",
                    confidence="medium" if found.origin == "nodes-file" else "high",
                    assumptions=(NODES_FILE_IS_ALL,) if found.origin == "nodes-file" else (),
                    related=(Related(gpu.node.content, "in each pod"),),
                )
                return
    if next(iter(world.index.nearby("ResourceQuota", workload.object)), None) is None:
        return
    from vllmlint.plans.place_capacity import scalers_of

    for scaler in scalers_of(workload, world):
        field = "maxReplicas" if scaler.kind == "HorizontalPodAutoscaler" else "maxReplicaCount"
        node, most = scaler.node.scalar("spec", field), scaler.node.integer("spec", field)
        if node is not None:
            place = _in_sight(node.content, workload, world)
            yield from _over_quota(workload, world, gpu, most, place, scaler.title)


def replicas_not_spread(workload: Workload, world: World) -> Iterator[Finding]:
    """Replicas of which one node may hold all."""
    gpu, replicas, node = _gpu_of(workload, world), workload.replicas, workload.replicas_node
    if gpu is None or gpu.count is None or replicas is None or replicas < 2 or node is None:
        return
    plain = workload.carrier == "plain" and workload.kind in {"Deployment", "StatefulSet"}
    if not plain or gpu.count >= _WHOLE_NODE or _says_where(workload):
        return
    pools = pools_for(workload, world)
    if not pools and knows_nodes(workload, world):
        return  # no node takes the pod, which other rules say
    fits: int | None = None
    if pools:
        from vllmlint.plans.place_capacity import pods_per_node

        found = placement(workload, world)
        each = [pods_per_node(found.pod, pool) for pool in pools] if found is not None else []
        nodes = [pool.profile.node.count for pool in pools]
        one_node = None not in nodes and sum(count or 0 for count in nodes) <= 1
        if one_node or any(count is not None and count < replicas for count in each):
            return
        fits = min((count for count in each if count is not None), default=None)
    yield Finding(
        node.content,
        f"only the scheduler's soft default spreads the {replicas} replicas: where GPUs are free on one node "
        "alone it holds them all, and its drain, a GPU error or a driver update takes the whole service away",
        "Write `topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, "
        "whenUnsatisfiable: ScheduleAnyway, labelSelector: …}]`.",
        "may share one node",
        confidence="low" if fits is None else "medium",
        assumptions=("a node has GPUs for several of the pods",) if fits is None else (),
        related=(Related(gpu.node.content, "in each pod"),),
    )


def _says_where(workload: Workload) -> bool:
    """Whether the pod says how it is spread, or that it is on one node, or another scheduler decides."""
    spec = workload.spec
    chosen = (
        ("topologySpreadConstraints",),
        ("affinity", "podAntiAffinity"),
        ("nodeName",),
        ("nodeSelector", "kubernetes.io/hostname"),
    )
    scheduler = spec.string("schedulerName")
    return any(spec.at(*route) is not None for route in chosen) or scheduler not in {
        None,
        "",
        "default-scheduler",
    }


def _over_quota(
    workload: Workload, world: World, gpu: GpuRequest, pods: int | None, place: Place, what: str
) -> Iterator[Finding]:
    """Pods whose GPUs are more than a ResourceQuota of the namespace lets all pods have."""
    if pods is None or gpu.count is None:
        return
    name = f"requests.{gpu.resource}"
    for quota in world.index.nearby("ResourceQuota", workload.object):
        limit = quota.node.scalar("spec", "hard", name)
        most = parse_quantity(limit.text.strip()) if limit is not None else None
        if limit is None or most is None or gpu.count * pods <= most or not _is_namespace_wide(quota):
            continue
        sure = bool(workload.object.namespace) and workload.object.namespace == quota.namespace
        yield Finding(
            place,
            f"{what} may ask for {plural(gpu.count * pods, 'GPU')} ({pods} × {gpu.count}), and "
            f"{quota.title} lets the namespace have {limit.text}: the API server refuses the pods beyond "
            "that",
            f"Lower the number of pods to {int(most) // gpu.count}, or raise the quota.",
            f"quota: {limit.text}",
            confidence="high" if sure else "medium",
            assumptions=() if sure else ("both are for the same namespace",),
            related=(Related(limit.content, "the quota"), Related(gpu.node.content, "in each pod")),
        )
        return


def _is_namespace_wide(quota: KubeObject) -> bool:
    return quota.node.at("spec", "scopes") is None and quota.node.at("spec", "scopeSelector") is None


def _gpu_of(workload: Workload, world: World) -> GpuRequest | None:
    """What the servers of one pod ask for in GPUs, where that is one resource of one container."""
    gpus = [gpu for server in world.servers_in(workload) if not server.is_simulator for gpu in server.gpus]
    return gpus[0] if len(gpus) == 1 and gpus[0].count else None


def _replicas_place(workload: Workload) -> Place:
    node = workload.replicas_node
    return node.content if isinstance(node, Scalar) else where(workload.object.anchor)


def _in_sight(place: Place, workload: Workload, world: World) -> Place:
    """The place, where its file is linted here; else the workload's."""
    here = any(facts.file.source is place.source for facts in world.files)
    return place if here else _replicas_place(workload)
