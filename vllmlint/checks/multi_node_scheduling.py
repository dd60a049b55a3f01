"""Section multi-node: groups whose pods must run together, and the network between them."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.checks._groups import group_size, spans_pods
from vllmlint.checks._hardware import placement
from vllmlint.checks._rdma import has_rdma
from vllmlint.finding import Finding, Related, where
from vllmlint.kube.objects import string_map
from vllmlint.kube.pods import Workload
from vllmlint.serving.server import Server
from vllmlint.wording import plural
from vllmlint.world import World

#: Labels and annotations with which pods of a group are queued and placed together: Kueue, coscheduling,
#: Volcano, KAI and Run:ai, Grove, LeaderWorkerSet's own.
_GANG_KEYS = (
    "kueue.x-k8s.io/", "scheduling.x-k8s.io/pod-group", "pod-group.scheduling.sigs.k8s.io", "volcano.sh/",
    "scheduling.volcano.sh/", "scheduling.k8s.io/group-name", "kai.scheduler/", "runai/", "grove.io/",
    "yunikorn.apache.org/", "koordinator.sh/", "gang.scheduling.koordinator.sh/",
    "godel.bytedance.com/",
)  # fmt: skip

#: A slice of TPUs has its own node pool, which is made and placed as a whole.
_COUNTED = frozenset({"cuda", "rocm"})


def no_gang_scheduling(workload: Workload, world: World) -> Iterator[Finding]:
    """Several groups of pods that are placed pod by pod."""
    servers = [server for server in world.servers_in(workload) if not server.is_simulator]
    gpus = [gpu for server in servers for gpu in server.gpus if gpu.accelerator.kind in _COUNTED]
    groups, size = workload.replicas, group_size(workload.object) if workload.carrier == "lws" else None
    if not gpus or size is None or size < 2 or groups is None or groups < 2 or workload.role == "worker":
        return
    if not any(spans_pods(server, world) for server in servers) or _is_gang(workload):
        return
    node = workload.replicas_node
    found = placement(workload, world)
    sure = False
    if found is not None:
        from vllmlint.plans.place_capacity import room_for

        rooms = [one for one in room_for(found, world) if one.kind == "replicas"]
        if rooms and rooms[0].answer == "yes":
            return
        sure = bool(rooms) and rooms[0].answer == "no"
    yield Finding(
        node.content if node is not None else where(workload.object.anchor),
        f"{plural(groups, 'group')} of {plural(size, 'pod')} are placed pod by pod: where GPUs are short, "
        "two groups each get a part of them, and both hold it and wait for the rest",
        "Place whole groups: Kueue (label `kueue.x-k8s.io/queue-name`), Volcano or the coscheduling plugin "
        "(`schedulerName`).",
        "not placed as groups",
        confidence="medium" if sure else "low",
        assumptions=() if sure else ("the nodes do not have GPUs for all groups at once",),
        related=(Related(gpus[0].node.content, "held while the group is incomplete"),),
    )


def _is_gang(workload: Workload) -> bool:
    scheduler = workload.spec.string("schedulerName")
    if scheduler not in {None, "", "default-scheduler"}:
        return True
    # LeaderWorkerSet makes a PodGroup itself when its operator is set up for one: nothing shows it here
    annotations = string_map(workload.template.at("metadata", "annotations"))
    own = string_map(workload.object.node.at("metadata", "annotations"))
    keys = (*annotations, *own, *workload.labels, *workload.object.labels)
    return any(key.startswith(prefix) for key in keys for prefix in _GANG_KEYS)


def multinode_without_rdma(server: Server, world: World) -> Iterator[Finding]:
    """Experts or tensor parallel ranks that exchange data over the pods' ordinary network."""
    # the leader speaks for the ranks that follow it
    if not spans_pods(server, world) or server.workload.carrier == "other" or server.is_headless:
        return
    disabled = server.env.get("NCCL_IB_DISABLE")
    if disabled is not None and disabled.value == "1" and _exchanges(server):
        node = disabled.value_node or disabled.name_node
        if node.source is server.container.node.source:
            yield Finding(
                node.content,
                "NCCL_IB_DISABLE=1 keeps NCCL off InfiniBand and RoCE, and this server's ranks "
                f"{_exchanges(server)} across nodes: over TCP a message takes 10 to 20 times as long",
                "Delete the variable where the nodes have RDMA; without it, keep tensor and expert parallel "
                "ranks within a node (`--pipeline-parallel-size` for the nodes).",
                "TCP only",
                confidence="medium",
                assumptions=("the nodes have RDMA cards",),
            )
        return
    value = server.get("enable_expert_parallel")
    if not _experts_cross(server) or value.flag_place is None or has_rdma(server):
        return
    yield Finding(
        value.flag_place,
        "expert parallel ranks exchange tokens across nodes in every layer, and the pod asks for no RDMA "
        "card: NCCL falls back to TCP without an error, and a message takes 10 to 20 times as long",
        "Ask for the cluster's network resource in each pod (`rdma/…`, `vpc.amazonaws.com/efa`), with "
        "IPC_LOCK.",
        "over TCP",
        confidence="medium",
        assumptions=("the nodes have RDMA cards that the pod does not get",),
    )


def _exchanges(server: Server) -> str:
    """What ranks of different pods exchange all the time, in words; empty where that is little."""
    tensor, count = server.integer("tensor_parallel_size"), server.gpu_count
    if tensor is not None and count is not None and tensor > count:
        return "exchange every layer's results"
    return "exchange tokens between experts" if _experts_cross(server) else ""


def _experts_cross(server: Server) -> bool:
    """Whether the experts of one layer are spread over several pods: over the tensor and data parallel ranks,
    not over pipeline stages (vLLM 0.33.0 vllm/distributed/parallel_state.py)."""
    tensor, data = server.integer("tensor_parallel_size"), server.integer("data_parallel_size")
    count = server.gpu_count
    if not server.is_set("enable_expert_parallel") or tensor is None or data is None or count is None:
        return False
    return tensor * data > count
