"""Section multi-node: how the processes of one server on several nodes are started and probed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vllmlint.checks._args import REFUSED, judgement
from vllmlint.checks._groups import (
    RAY_JOIN,
    engine_factors,
    group_size,
    joins_ray,
    node_count,
    other_servers,
    templates_of,
    text_of,
    written_words,
)
from vllmlint.checks._probe_facts import mentioned_by_neighbour, ordered_probes, outcome, probe_words
from vllmlint.facts.images import is_official
from vllmlint.finding import Finding, Related
from vllmlint.kube.pods import Container, Workload
from vllmlint.kube.probes import PROBE_NAMES, Probe
from vllmlint.manifest.text import Place
from vllmlint.regex import regex
from vllmlint.serving.ranks import counted_gpus, runs_in_one_pod
from vllmlint.serving.server import Server
from vllmlint.wording import plural
from vllmlint.world import World

#: From this release on vLLM has `--nnodes`, and no longer turns to Ray by itself (vllm/config/parallel.py).
_NODES_SINCE = "0.11.1"
#: From this release on any number of API servers contradicts `--headless`; before, 1 was the default and
#: passed (vllm/entrypoints/cli/serve.py).
_NO_SERVERS_SINCE = "0.15.0"
#: The first release whose package no longer depends on ray (Requires-Dist of the wheels; 0.17.1 still does).
_RAY_GONE_SINCE = "0.18.0"
_RAY_INSTALL = regex(r"\b(?:install|sync|add)\b[^\n;&|]*(?<![\w/.-])[\"']?ray(?![\w/-])", re.IGNORECASE)
#: Programs that spread the ranks themselves.
_LAUNCHERS = regex(r"(?<![\w./-])(?:torchrun|mpirun|srun)(?![\w-])")
#: Paths of vLLM's API server that nothing else in a rank's pod answers.
_SERVER_PATHS = frozenset({"/health", "/ping", "/v1/models", "/version", "/metrics", "/load"})


def multi_node_backend_unset(server: Server, world: World) -> Iterator[Finding]:
    """An engine larger than its pod, and nothing that tells vLLM how to reach the other pods."""
    backend, gpus = server.get("distributed_executor_backend"), counted_gpus(server)
    if (
        not server.release.at_least(_NODES_SINCE)
        or not backend.known
        or backend.value not in (None, "mp")
        or server.get("data_parallel_backend").value == "ray"
        or node_count(server) != 1
        or not gpus
        or not _spreads(server)
    ):
        return
    factors, count = engine_factors(server), sum(gpu.count or 0 for gpu in gpus)
    size = 1
    for factor in factors or ():
        size *= factor.size
    place = next((factor.place for factor in factors or () if factor.place is not None), None)
    if place is None or size <= count:
        return
    ray = joins_ray(server.workload)
    sure = judgement(server)
    stops = (
        f"stops with `World size ({size}) is larger than the number of available GPUs ({count})`"
        if backend.value is None and gpus[0].accelerator.kind == "cuda"
        else "starts all ranks here, and those without a GPU end it"
    )
    yield Finding(
        place,
        f"one engine needs {plural(size, 'GPU')} and its pod has {count}, but neither "
        "`--distributed-executor-backend=ray` nor `--nnodes` says that it spreads over several pods: vLLM "
        f"{server.release} {stops}",
        "Add `--distributed-executor-backend=ray`."
        if ray
        else "Add `--nnodes=$(LWS_GROUP_SIZE) --node-rank=$(LWS_WORKER_INDEX) "
        "--master-addr=$(LWS_LEADER_ADDRESS)`, "
        "and `--headless` in the workers.",
        f"needs {plural(size, 'GPU')}",
        confidence=sure.confidence,
        assumptions=sure.assumptions,
        related=(Related(gpus[0].node.content, f"{plural(count, 'GPU')} in the pod"), *sure.related),
    )


def nnodes_with_ray(server: Server, world: World) -> Iterator[Finding]:
    """Two ways of spreading ranks over nodes at once."""
    backend, nodes = server.get("distributed_executor_backend"), server.get("nnodes")
    count = node_count(server)
    if backend.value != "ray" or backend.certainty == "unknown" or backend.place is None:
        return
    if count is None and isinstance(nodes.value, int):
        # both flags stand in one command, which runs in some branch only
        count = nodes.value
    if count is None or count < 2 or nodes.flag_place is None:
        return
    sure = judgement(server)
    yield Finding(
        backend.place,
        f"`--nnodes` ({count} nodes) spreads the ranks without Ray, and vLLM accepts it with the backends "
        f"mp, uni and external_launcher only: {REFUSED}",
        "Drop `--distributed-executor-backend=ray` to start one process per node, or drop `--nnodes`, "
        "`--node-rank` and `--master-addr` to let Ray place the ranks.",
        "contradicts --nnodes",
        confidence=sure.confidence,
        assumptions=sure.assumptions,
        related=(Related(nodes.flag_place, f"{count} nodes without Ray"), *sure.related),
    )


def headless_with_api_servers(server: Server, world: World) -> Iterator[Finding]:
    """A rank without API servers that is told to start some."""
    settings = server.arguments.settings
    headless = settings.get("headless")
    if server.arguments.entrypoint != "serve" or headless is None or headless.value is not True:
        return
    sure = judgement(server)
    related = (Related(server.flag_place(headless), "no API server"), *sure.related)
    count, allowed = settings.get("api_server_count"), 0 if server.release.at_least(_NO_SERVERS_SINCE) else 1
    number = count.value if count is not None else None
    if count is not None and isinstance(number, int) and number > allowed:
        yield Finding(
            server.value_place(count),
            f"`--headless` starts no API server and `{count.spelling}` asks for {number}: {REFUSED}",
            f"Drop `{count.spelling}` here; it belongs to the pod that answers the requests.",
            "API servers in a headless rank",
            confidence=sure.confidence,
            assumptions=sure.assumptions,
            related=related,
        )
    hybrid = settings.get("data_parallel_hybrid_lb")
    if hybrid is not None and hybrid.value is True:
        yield Finding(
            server.flag_place(hybrid),
            f"`{hybrid.spelling}` shares requests among the ranks of a pod, but `--headless` starts no API "
            f"server that could take one: {REFUSED}",
            f"Drop `--headless` so that this pod serves too, or drop `{hybrid.spelling}`.",
            "needs an API server",
            confidence=sure.confidence,
            assumptions=sure.assumptions,
            related=related,
        )


def ray_missing_in_image(server: Server, world: World) -> Iterator[Finding]:
    """Ray wanted of an image of vLLM's own that no longer holds it."""
    image = server.image
    if (
        image is None
        or image.unresolved
        or not is_official(image.full_repository)
        or not server.release.at_least(_RAY_GONE_SINCE)
    ):
        return
    place = _ray_place(server)
    if place is None or any(_RAY_INSTALL.search(text_of(one)) for one in server.workload.containers):
        return
    sure = judgement(server)
    if sure.confidence == "high":
        sure = sure.less_sure()
    yield Finding(
        place,
        f"vLLM no longer depends on ray since {_RAY_GONE_SINCE}, and the image {image.name} of "
        f"{server.release} holds what vLLM depends on: the start ends with `ray: not found` or an "
        "ImportError",
        "Build an image on top of this one with `pip install ray`, or use `--nnodes` and the backend mp "
        f"({_NODES_SINCE} and later), which need no Ray.",
        "needs ray",
        confidence=sure.confidence,
        assumptions=(*sure.assumptions, "the image is vLLM's own, with nothing added under the same name"),
        related=sure.related or (Related(image.tag_place, "ships no ray"),),
    )


def worker_probes_on_headless_rank(workload: Workload, world: World) -> Iterator[Finding]:
    """Probes that ask for an API in a pod where none is started."""
    servers = [server for server in world.servers_in(workload) if not server.is_simulator]
    if servers:
        for server in servers:
            yield from _probed_headless(server, world)
    elif workload.carrier == "lws" and joins_ray(workload):
        for container in workload.containers:
            yield from _probed_ray_worker(container, world)


def _spreads(server: Server) -> bool:
    """Whether the manifest means the ranks of a server to run in several pods."""
    if any(_LAUNCHERS.search(text_of(container)) for container in server.workload.containers):
        return False
    if server.workload.carrier == "lws":
        return group_size(server.object) != 1
    return server.workload.carrier == "plain" and not runs_in_one_pod(server)


def _ray_place(server: Server) -> Place | None:
    """The characters that ask for Ray: the backend's name, or the command that starts a Ray node."""
    for name in ("distributed_executor_backend", "data_parallel_backend"):
        value = server.get(name)
        if value.value == "ray" and value.certainty != "unknown" and value.place is not None:
            return value.place
    for word in written_words(server.container):
        match = RAY_JOIN.search(word.text)
        if match is not None:
            return word.part(*match.span())
    return None


def _probed_headless(server: Server, world: World) -> Iterator[Finding]:
    headless = server.arguments.settings.get("headless")
    if (
        server.arguments.entrypoint != "serve"
        or not server.is_headless
        or headless is None
        or other_servers(server, world)
        or server.get("data_parallel_multi_port_external_lb").value is True
    ):
        return
    dead = [probe for probe in ordered_probes(server) if _asks_nobody(server, probe)]
    if dead:
        yield _probe_finding(
            dead, "vLLM with `--headless` opens no HTTP port", server.flag_place(headless), "no API server"
        )


def _asks_nobody(server: Server, probe: Probe) -> bool:
    """Whether a probe connects to a port of a headless rank's pod on which nothing listens."""
    handler = probe.handler
    if probe.type not in {"httpGet", "tcpSocket", "grpc"} or handler is None or handler.string("host"):
        return False
    text = probe.port.text.strip() if probe.port is not None else ""
    number = (
        int(text)
        if text.isdigit()
        else next((one for one, name in server.container.ports.items() if name == text), None)
    )
    if number is None or mentioned_by_neighbour(server, number):
        return False
    if number == server.port:
        return True
    # another program of a script may listen there, and a socket may be one of vLLM's own
    return probe.type == "httpGet" and server.invocation.script is None and probe.path in _SERVER_PATHS


def _probed_ray_worker(container: Container, world: World) -> Iterator[Finding]:
    """A Ray worker of a group that is asked for the leader's API."""
    if not RAY_JOIN.search(text_of(container)):
        return
    workload = container.workload
    leaders = [
        server
        for other in templates_of(workload.object, world)
        if other is not workload
        for server in world.servers_in(other)
    ]
    ports = {leader.port for leader in leaders} - {None}
    probes = [container.probes[name] for name in PROBE_NAMES if name in container.probes]
    dead = [
        probe
        for probe in probes
        if probe.type in {"httpGet", "tcpSocket"}
        and probe.handler is not None
        and not probe.handler.string("host")
        and probe.port is not None
        and _number(probe.port.text, container) in ports
    ]
    if dead:
        yield _probe_finding(
            dead,
            "this pod only joins the Ray cluster and the API server runs in the leader",
            leaders[0].anchor,
            "the API server",
        )


def _number(text: str, container: Container) -> int | None:
    text = text.strip()
    if text.isdigit():
        return int(text)
    return next((number for number, name in container.ports.items() if name == text), None)


def _probe_finding(dead: list[Probe], fact: str, place: Place, label: str) -> Finding:
    """One finding about all probes of a container that nothing answers."""
    first = dead[0]
    port = first.port.content if first.port is not None else first.key.content
    return Finding(
        port,
        f"{fact}: nothing answers the {probe_words(dead)}, and {outcome(dead)}",
        f"Remove the {probe_words(dead)} from this pod: a rank that dies ends its process, and the group's "
        "restart policy acts on that.",
        "nothing listens here",
        related=(Related(place, label), *(Related(probe.key.content, "the same") for probe in dead[1:])),
    )
