"""What the rules about several pods share: the pods of a group, and how its processes find each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Container, Workload
from vllmlint.manifest.nodes import Scalar
from vllmlint.regex import regex
from vllmlint.serving.ranks import Factor, runs_in_one_pod
from vllmlint.serving.server import Server
from vllmlint.serving.value import Value
from vllmlint.world import World

#: Starts or joins a Ray cluster: Ray's command, vLLM's example script, the command that KubeRay generates.
RAY_JOIN = regex(r"(?<![\w./-])ray\s+start\b|multi-node-serving\.sh|KUBERAY_GEN_RAY_START_CMD")
#: Hosts that only processes of the same pod reach.
LOOPBACK = regex(r"localhost|127(?:\.\d{1,3}){3}|\[?::1\]?", re.IGNORECASE)
#: An IPv4 address, or an IPv6 address of at least three groups.
LITERAL_IP = regex(r"\d{1,3}(?:\.\d{1,3}){3}|\[?(?:[0-9a-f]{1,4}:+){2,7}[0-9a-f]{0,4}\]?", re.IGNORECASE)
#: Arguments of ranks that meet at the group's leader.
_MEETING = regex(r"--(?:nnodes|master-addr)\b")
#: What LeaderWorkerSet puts in front of the environment of every container (its pod webhook).
LWS_VARIABLES = ("LWS_LEADER_ADDRESS", "LWS_GROUP_SIZE", "LWS_WORKER_INDEX")


def templates_of(obj: KubeObject, world: World) -> list[Workload]:
    """All pod templates of an object."""
    facts = world.facts_of(obj)
    return [] if facts is None else [workload for workload in facts.workloads if workload.object is obj]


def written_words(container: Container) -> Iterator[Scalar]:
    """The texts of `command` and `args`, as they are written."""
    yield from container.command or ()
    yield from container.args or ()


def text_of(container: Container) -> str:
    """All words of a container in one text, for a search."""
    return " ".join(word.text for word in written_words(container))


def joins_ray(workload: Workload) -> bool:
    """Whether a container of the pods starts or joins a Ray cluster, or is told of one."""
    return any(
        RAY_JOIN.search(text_of(container)) is not None
        or any(entry.string("name") == "RAY_ADDRESS" for entry in container.node.mappings("env"))
        for container in workload.containers
    )


def group_size(obj: KubeObject) -> int | None:
    """The pods of one group of a LeaderWorkerSet, its leader included; None when it cannot be told."""
    node = obj.node.at("spec", "leaderWorkerTemplate", "size")
    if node is None or (isinstance(node, Scalar) and node.is_null):
        return 1
    return obj.node.integer("spec", "leaderWorkerTemplate", "size")


def node_count(server: Server) -> int | None:
    """The value of `--nnodes`, `$(LWS_GROUP_SIZE)` filled in; None when it cannot be told."""
    value = server.get("nnodes")
    if isinstance(value.value, int) and not isinstance(value.value, bool):
        return value.value if value.known else None
    if not value.explicit:
        # a release without the flag knows one node only
        return 1 if value.known else None
    if server.workload.carrier == "lws" and "LWS_GROUP_SIZE" in written(value):
        return group_size(server.object)
    return None


def written(value: Value) -> str:
    """The characters of a value as they stand in the file; empty for a default."""
    place = value.place
    return "" if place is None else place.text


def other_servers(server: Server, world: World) -> bool:
    """Whether another vLLM server runs in the same pod, or in the same script."""
    if any(other is not server for other in world.servers_in(server.workload)):
        return True
    command = server.invocation.command
    return command is not None and command.background


def engine_factors(server: Server) -> list[Factor] | None:
    """The factors of one engine's world size, the largest first; None when one cannot be told."""
    found = []
    for name, flag in (
        ("tensor parallel", "tensor_parallel_size"),
        ("pipeline parallel", "pipeline_parallel_size"),
        ("prefill context parallel", "prefill_context_parallel_size"),
    ):
        value = server.get(flag)
        if not value.known or not isinstance(value.value, int | None) or isinstance(value.value, bool):
            return None
        found.append(Factor(name, flag, value.value or 1, value.place))
    return sorted(found, key=lambda factor: -factor.size)


def spans_pods(server: Server, world: World) -> bool:
    """Whether the ranks of one server run in several pods, as far as its flags and its group say."""
    nodes = node_count(server)
    if nodes is not None and nodes > 1:
        return True
    size = group_size(server.object) if server.workload.carrier == "lws" else None
    ray = server.get("distributed_executor_backend").value == "ray" or any(
        joins_ray(one) for one in templates_of(server.object, world)
    )
    if server.workload.carrier == "lws":
        together = ray or _MEETING.search(text_of(server.container)) is not None
        return size is not None and size > 1 and together
    return server.object.kind.startswith("Ray") and not runs_in_one_pod(server)
