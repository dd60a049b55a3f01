"""Section memory: the node's memory and CPU that the container asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from vllmlint.checks._resources import resources_place
from vllmlint.finding import Finding, Related
from vllmlint.kube.pods import Container
from vllmlint.kube.quantity import parse_quantity
from vllmlint.manifest.nodes import Scalar
from vllmlint.serving.ranks import ranks_of, runs_in_one_pod
from vllmlint.serving.server import Server
from vllmlint.severity import Severity
from vllmlint.wording import plural
from vllmlint.world import World

_SHM = "/dev/shm"
_GIB = 2**30
#: Beside the process of each GPU: the API server and the engine core (vLLM docs, configuration/optimization,
#: CPU resources: at least 2 + N cores for N GPUs).
_CORES_BESIDE_RANKS = 2
#: With a hard limit there must be room for tokenisation bursts and the probes too (kserve/kserve#1031).
_CORES_BESIDE_RANKS_WITH_LIMIT = 4
#: From this share of the memory limit on, a full /dev/shm leaves too little for the processes.
_SHM_SHARE = 0.5


def host_memory_unset(server: Server, world: World) -> Iterator[Finding]:
    """A server that reserves no memory of its node."""
    if _judged_elsewhere(server) or _amount(server, "requests", "memory") is not None:
        return
    yield Finding(
        resources_place(server.container, "requests"),
        "the container reserves no memory of its node: the scheduler counts it as nothing, several pods may "
        "share one node whose memory cannot hold the buffers of all while they load, and under pressure "
        "these pods are evicted first",
        "Write `requests: {memory: …}` with what loading and serving take, some 4Gi for each GPU process "
        "and the size of the weights where they are read at once.",
        "no memory request",
        confidence="medium",
        assumptions=("no LimitRange of the namespace sets it",),
    )


def shm_inside_memory_limit(server: Server, world: World) -> Iterator[Finding]:
    """A memory volume at /dev/shm that may take most of the container's memory limit."""
    mount = server.container.mount_of(_SHM)
    limit_node, limit = _limit(server.container, "memory")
    if (
        mount is None
        or mount.volume is None
        or mount.volume.medium != "Memory"
        or limit_node is None
        or not limit
    ):
        return
    source = mount.volume.source
    size_node = source.scalar("sizeLimit") if source is not None else None
    size = parse_quantity(size_node.text.strip()) if size_node is not None else None
    if size_node is None or size is None or size < _SHM_SHARE * limit:
        return
    whole = size >= limit
    yield Finding(
        size_node.content,
        f"/dev/shm may grow to {size / _GIB:.3g} GiB, {size / limit:.0%} of the container's memory limit: "
        "what lies there counts towards the limit, so that "
        f"{'filling it' if whole else 'a full one and a loading model'} gets the server killed (OOMKilled)",
        "Raise limits.memory to what loading needs and this on top, or lower the sizeLimit.",
        f"of {limit / _GIB:.3g} GiB",
        severity=None if whole else "info",
        confidence="high" if whole else "medium",
        related=(Related(limit_node.content, "counts what lies in /dev/shm"),),
    )


def cpu_request_too_small(server: Server, world: World) -> Iterator[Finding]:
    """Fewer CPU cores than the busy processes of the server."""
    processes = _processes(server)
    if processes is None or _judged_elsewhere(server):
        return
    wanted = _CORES_BESIDE_RANKS + processes
    node = _asked(server, "requests", "cpu")
    cores = parse_quantity(node.text.strip()) if node is not None else 0
    if cores is None or cores >= wanted:
        return
    severity: Severity = "warning" if node is not None and cores < processes else "info"
    asked = f"`cpu: {node.text}` is" if node is not None else "no CPU is"
    yield Finding(
        node.content if node is not None else resources_place(server.container, "requests"),
        f"{asked} reserved for the engine core, the API server and "
        f"{plural(processes, 'busy GPU process', 'es')}: on a busy node tokenisation and the engine's loop "
        "wait for each other, the GPU idles, and /health may time out",
        f'Write `requests: {{cpu: "{wanted}"}}` or more (2 + one for each GPU).',
        f"{wanted} wanted",
        severity=severity,
        confidence="medium",
        assumptions=("other pods of the node use its CPUs",),
    )


def cpu_limit_throttles_engine(server: Server, world: World) -> Iterator[Finding]:
    """A CPU limit below what the server's processes use at times."""
    processes = _processes(server)
    node, cores = _limit(server.container, "cpu")
    if processes is None or node is None or cores is None or _judged_elsewhere(server):
        return
    wanted = _CORES_BESIDE_RANKS_WITH_LIMIT + processes
    if cores >= wanted:
        return
    yield Finding(
        node.content,
        f"a limit of {node.text} CPU cores for {plural(processes, 'GPU process', 'es')}, the engine core "
        "and the API server: when they use them up, the kernel stops all of them for the rest of each tenth "
        "of a second, the engine's loop and the probes included",
        "Remove the CPU limit and keep the request; where a policy wants one, "
        f'`limits: {{cpu: "{wanted}"}}` or more.',
        "throttles the engine",
        confidence="medium",
    )


def _judged_elsewhere(server: Server) -> bool:
    """Whether a controller may set what the manifest leaves out, or other rules judge the server."""
    pod_level = server.workload.spec.mapping("resources") is not None
    on_cpu = not server.gpus and not server.has_claims
    return server.workload.carrier == "other" or pod_level or on_cpu


def _processes(server: Server) -> int | None:
    """GPU processes in the server's container; None when the manifest does not decide them."""
    ranks = ranks_of(server)
    if ranks is None:
        return None
    return ranks.total if runs_in_one_pod(server) else min(ranks.total, server.gpu_count or ranks.total)


def _asked(server: Server, section: Literal["limits", "requests"], name: str) -> Scalar | None:
    """A quantity of the container; a limit counts as the request where none is written."""
    node = server.container.resource(section, name)
    return node if node is not None or section == "limits" else server.container.resource("limits", name)


def _amount(server: Server, section: Literal["limits", "requests"], name: str) -> str | None:
    node = _asked(server, section, name)
    return None if node is None else node.text


def _limit(container: Container, name: str) -> tuple[Scalar | None, int | float | None]:
    node = container.resource("limits", name)
    return node, parse_quantity(node.text.strip()) if node is not None else None
