"""Section multi-node: the GPUs of a group of pods against the ranks that run in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vllmlint.checks._groups import (
    engine_factors,
    group_size,
    joins_ray,
    node_count,
    templates_of,
    written,
)
from vllmlint.facts.accelerators import accelerator_of
from vllmlint.finding import Finding, Related
from vllmlint.kube.pods import Container, Workload
from vllmlint.kube.quantity import parse_quantity
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.serving.ranks import Factor
from vllmlint.serving.server import Server
from vllmlint.wording import plural
from vllmlint.world import World

#: Devices that vLLM counts one by one; a unit of the others may be several, or several a rank.
_COUNTED_KINDS = frozenset({"cuda", "rocm"})
#: Route to the spec of a Ray cluster, by kind.
_RAY_SPECS: dict[str, tuple[str, ...]] = {
    "RayCluster": ("spec",),
    "RayService": ("spec", "rayClusterConfig"),
    "RayJob": ("spec", "rayClusterSpec"),
    "RayClusterFleet": ("spec", "template", "spec"),
}


@record
class _Pods:
    """Pods of one template: how many, the GPUs of each and where they stand, and a name for messages."""

    count: int
    gpus: int
    node: Scalar | None
    title: str


@record
class _Group:
    """All pods that one server's ranks may run in; `place` states their number, `exclusive` that no other
    server can use their GPUs."""

    pods: tuple[_Pods, ...]
    place: Place | None
    exclusive: bool

    @property
    def gpus(self) -> int:
        """The GPUs of all pods."""
        return sum(pods.count * pods.gpus for pods in self.pods)

    @property
    def text(self) -> str:
        """The sum in words: `leader 8 + 1 worker × 8`."""
        parts = [
            f"{pods.title} {pods.gpus}" if pods.count == 1 else f"{pods.count} {pods.title}s × {pods.gpus}"
            for pods in self.pods
        ]
        return " + ".join(parts)


def group_size_vs_world_size(server: Server, world: World) -> Iterator[Finding]:
    """A group of pods whose GPUs are not as many as the ranks of the server that fills it."""
    factors = _ranks(server)
    group = None if factors is None else _group_of(server, world)
    if factors is None or group is None:
        return
    needed = 1
    for factor in factors:
        needed *= factor.size
    place = group.place or next((factor.place for factor in factors if factor.place is not None), None)
    if (
        place is None
        or needed == group.gpus
        or group.gpus == 0
        or (needed < group.gpus and not group.exclusive)
    ):
        return
    text = (
        " × ".join(f"{factor.name} {factor.size}" for factor in factors if factor.size > 1)
        or "tensor parallel 1"
    )
    short = needed > group.gpus
    yield Finding(
        place,
        f"the pods of the group have {plural(group.gpus, 'GPU')} ({group.text}) but vLLM starts "
        f"{plural(needed, 'rank')} ({text}), one per GPU: "
        + (
            "ranks stay without a GPU and the server never starts"
            if short
            else f"{plural(group.gpus - needed, 'GPU')} of every group stay idle"
        ),
        f"Make the group's pods × GPUs per pod equal to {needed}, or choose parallel sizes whose product is "
        f"{group.gpus}.",
        f"{group.gpus} GPUs, {plural(needed, 'rank')}",
        severity=None if short else "warning",
        related=_related(factors, group, place),
    )


def _related(factors: Sequence[Factor], group: _Group, place: Place) -> tuple[Related, ...]:
    ranks = [
        Related(factor.place, f"{factor.name} {factor.size}")
        for factor in factors
        if factor.size > 1 and factor.place is not None and factor.place != place
    ]
    gpus = [
        Related(
            pods.node.content,
            f"{plural(pods.gpus, 'GPU')} {'in the' if pods.count == 1 else 'in each'} {pods.title}",
        )
        for pods in group.pods
        if pods.node is not None
    ]
    return (*ranks, *gpus)


def _ranks(server: Server) -> list[Factor] | None:
    """The factors of all ranks in the group; None when they cannot be told, or may lie outside of it."""
    factors = engine_factors(server)
    data = server.get("data_parallel_size")
    if factors is None or not data.known or "VLLM_DP_SIZE" in server.env:
        return None
    size = data.value if isinstance(data.value, int) else 1
    if size > 1:
        # engines may be the pod's own, or those of several groups, unless their leader is this group's
        address = "data_parallel_address" if server.get("nnodes").value == 1 else "master_addr"
        if "LWS_LEADER_ADDRESS" not in written(server.get(address)):
            return None
        factors = sorted(
            [*factors, Factor("data parallel", "data_parallel_size", size, data.place)],
            key=lambda one: -one.size,
        )
    return factors


def _group_of(server: Server, world: World) -> _Group | None:
    if server.workload.carrier == "lws":
        return _leader_worker_group(server, world)
    return _ray_group(server)


def _leader_worker_group(server: Server, world: World) -> _Group | None:
    obj, own = server.object, server.workload
    size = group_size(obj)
    template = obj.node.mapping("spec", "leaderWorkerTemplate")
    workloads = {workload.role: workload for workload in templates_of(obj, world)}
    leader, worker = workloads.get("leader"), workloads.get("worker")
    if template is None or size is None or size < 1 or "subGroupPolicy" in template.entries:
        return None
    # one finding per group: that of the leader, or of the only template
    if worker is None or (leader is not None and own.role != "leader") or len(world.servers_in(own)) != 1:
        return None
    if size > 1 and not _fills_group(server, tuple(workloads.values())):
        return None
    pods = []
    for workload, count, title in ((leader, 1, "leader"), (worker, size - (leader is not None), "worker")):
        if workload is None or count == 0:
            continue
        found = _gpus(workload.containers)
        if found is None:
            return None
        pods.append(_Pods(count, found[0], found[1], title if leader is not None else "pod"))
    node = template.scalar("size")
    return _Group(tuple(pods), node.content if node is not None else None, exclusive=True)


def _fills_group(server: Server, workloads: tuple[Workload, ...]) -> bool:
    """Whether the ranks of a server spread over its group: otherwise each pod may serve for itself."""
    nodes = node_count(server)
    if nodes is not None and nodes > 1:
        return True
    backend = server.get("distributed_executor_backend")
    if backend.value == "ray" or any(joins_ray(workload) for workload in workloads):
        return True
    address = server.get("data_parallel_address")
    return "LWS_LEADER_ADDRESS" in written(address)


def _ray_group(server: Server) -> _Group | None:
    """The pods of a Ray cluster that has a fixed number of them."""
    spec = server.object.node.mapping(*_RAY_SPECS.get(server.object.kind, ("-",)))
    if (
        spec is None
        or spec.flag("enableInTreeAutoscaling")
        or server.get("distributed_executor_backend").value != "ray"
    ):
        return None
    head = spec.mapping("headGroupSpec", "template", "spec")
    found = _gpus_in(head) if head is not None else None
    if found is None:
        return None
    pods = [_Pods(1, found[0], found[1], "head")]
    for group in spec.mappings("workerGroupSpecs"):
        replicas, template = group.integer("replicas"), group.mapping("template", "spec")
        hosts = 1 if group.scalar("numOfHosts") is None else group.integer("numOfHosts")
        found = _gpus_in(template) if template is not None else None
        if replicas is None or hosts is None or found is None:
            return None
        pods.append(_Pods(replicas * hosts, found[0], found[1], group.string("groupName") or "worker"))
    return _Group(tuple(pods), None, exclusive=False)


def _gpus(containers: Sequence[Container]) -> tuple[int, Scalar | None] | None:
    """The GPUs of a pod; None when they cannot be counted, or when several containers share them."""
    found: list[tuple[int, Scalar]] = []
    for container in containers:
        if container.node.at("resources", "claims") is not None:
            return None
        entries = {**container.resources("requests"), **container.resources("limits")}
        for name, node in entries.items():
            accelerator = accelerator_of(name)
            if accelerator is None:
                continue
            count = parse_quantity(node.text)
            if not accelerator.whole or accelerator.kind not in _COUNTED_KINDS or not isinstance(count, int):
                return None
            if container.role == "init":
                # an init container gives its GPUs back before the server starts
                continue
            found.append((count, node))
    if len(found) > 1:
        return None
    return found[0] if found else (0, None)


def _gpus_in(spec: Mapping) -> tuple[int, Scalar | None] | None:
    """As `_gpus`, for the pod spec of a group that is no template of a workload by itself."""
    total: tuple[int, Scalar | None] = (0, None)
    for container in spec.mappings("containers"):
        limits = container.mapping("resources", "limits")
        for name, node in limits.entries.items() if limits is not None else ():
            accelerator = accelerator_of(name)
            if accelerator is None or not isinstance(node, Scalar):
                continue
            count = parse_quantity(node.text)
            exact = accelerator.whole and accelerator.kind in _COUNTED_KINDS and isinstance(count, int)
            if total[1] is not None or not exact or not isinstance(count, int):
                return None
            total = (count, node)
    return total
