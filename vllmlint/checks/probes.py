"""Section probes: what tells Kubernetes that a server can serve, and what makes it kill one that can."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vllmlint.checks.probe_facts import (
    asks_server,
    belongs_to_neighbour,
    is_port_name,
    neighbours,
    ordered_probes,
    outcome,
    port_number,
    port_place,
    probe_word,
    probe_words,
    replace_all,
    same_in,
    targets_server,
)
from vllmlint.finding import Finding, Related, Severity, where
from vllmlint.kube.probes import DEFAULT_TIMEOUT_SECONDS, Probe
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.manifest.text import Place
from vllmlint.serving.server import DEFAULT_PORT, Server
from vllmlint.world import World

#: Paths people take from other servers and that vLLM's API server does not have (404; its routes are listed
#: in vllm-command-line.md, section 5).
_MISSING_PATHS = frozenset(
    """/ /ready /readyz /readiness /live /livez /liveness /healthz /health/ready /health/live /health/liveness
    /health/readiness /healthcheck /health_generate /api/health /v1/health /v1/health/ready /v1/health/live
    /v2/health/ready /v2/health/live /api/tags /status /up""".split()
)
#: Routes that answer POST only: a probe's GET gets 405.
_POST_ONLY_PATHS = frozenset(
    """/v1/completions /v1/chat/completions /v1/embeddings /v1/responses /v1/score /v1/rerank /rerank /score
    /pooling /classify /tokenize /detokenize /invocations /generate""".split()
)
#: Routes that answer 200 whatever the engine does.
_STATIC_PATHS = frozenset({"/metrics", "/version", "/load", "/docs", "/redoc", "/openapi.json"})
_PING_SINCE = "0.7.0"
#: Commands of an exec probe that succeed whatever vLLM does.
_EMPTY_COMMANDS = frozenset({"true", "sleep", "echo", ":", "ls", "date", "exit"})
#: Path prefixes that want a key, with the release they are guarded since (authenticate.py GUARDED_PREFIX).
_GUARDED = (("/v1", "0.0.0"), ("/v2", "0.22.0"), ("/inference", "0.22.0"), ("/cohere", "0.27.0"))
#: From this fixed delay on, an initialDelaySeconds stands in for a startupProbe (spec: 60 s).
_LONG_DELAY_SECONDS = 60
#: A liveness probe with the default timeout must bear this many seconds of load before it kills.
_PATIENCE_SECONDS = 60


def readiness_missing(server: Server, world: World) -> Iterator[Finding]:
    """A server that gets requests, or whose pods replace others, without a readiness probe."""
    workload = server.workload
    if workload.carrier == "other" or workload.is_batch or "readinessProbe" in server.container.probes:
        return
    if not _serves_requests(server) or workload.spec.sequence("readinessGates") is not None:
        return
    port = server.port or DEFAULT_PORT
    probing = [other for other in neighbours(server) if "readinessProbe" in other.probes]
    if any(_probes_port(other.node, port) for other in probing):
        return
    services = world.services_of(workload)
    related = tuple(Related(where(service.anchor), "sends requests to it") for service in services[:1])
    to = f"Service `{services[0].name}`" if services else "a Service"
    advice = f"Add `readinessProbe: {{httpGet: {{path: /health, port: {port}}}, timeoutSeconds: 5}}`"
    startup = server.container.probes.get("startupProbe")
    if startup is not None and startup.type:
        yield Finding(
            server.anchor,
            f"no readiness probe: after the startup probe nothing takes the pod out of {to} when vLLM stops answering",
            f"{advice} beside the startupProbe.",
            "no readinessProbe",
            severity="warning",
            related=(*related, Related(where(startup.key), "holds the pod back only until it has started")),
        )
        return
    declared = bool(server.container.ports) if server.port is None else server.port in server.container.ports
    sure = bool(services) and not probing
    is_error = not server.invocation.opaque and not probing and (sure or (declared and workload.kind != "Pod"))
    yield Finding(
        server.anchor,
        "no readiness probe: the pod counts as ready the moment its process starts, so "
        f"{to} sends requests to it for the minutes in which vLLM loads (connection refused)",
        f"{advice} and a startupProbe that allows for the load.",
        "no readinessProbe",
        severity="error" if is_error else "warning",
        confidence="high" if sure and is_error else "medium",
        assumptions=() if services else ("something outside these files sends requests to the pod",),
        related=related,
    )


def _serves_requests(server: Server) -> bool:
    """Whether the container runs an API server for certain: no headless rank, no group's follower."""
    headless = server.get("headless")
    if server.is_headless or (headless.explicit and not headless.known):
        return False
    command = server.invocation.command
    if server.workload.carrier == "lws" and server.workload.role == "worker":
        # with a leader template of its own the leader is elsewhere; else a script may tell the ranks apart
        leader = server.object.node.mapping("spec", "leaderWorkerTemplate", "leaderTemplate")
        return leader is None and command is None and server.arguments_known
    return command is None or not command.conditional


def _probes_port(container: Mapping, port: int) -> bool:
    """Whether a neighbour's readiness probe asks vLLM's port: the pod is then ready when vLLM is."""
    return re.search(rf"(?<!\d){port}(?!\d)", _text_of(container, "readinessProbe")) is not None


def _text_of(node: Mapping, key: str) -> str:
    child = node.at(key)
    return child.place.text if child is not None else ""


def readiness_not_model_aware(server: Server, world: World) -> Iterator[Finding]:
    """A readiness probe that passes without a serving engine, or any probe on a path that never answers 200."""
    if server.is_headless or server.invocation.opaque or server.is_set("data_parallel_multi_port_external_lb"):
        return
    dead = [probe for probe in ordered_probes(server) if _refused(server, probe)]
    if dead:
        yield _dead_path(server, dead)
    readiness = server.container.probes.get("readinessProbe")
    if readiness is None or readiness in dead:
        return
    reason = _empty_readiness(server, readiness)
    if reason is None:
        return
    place, label, what = reason
    port = server.port or DEFAULT_PORT
    yield Finding(
        place,
        f"the readiness probe {what}: requests go on to a pod whose engine is dead or stopping",
        f"Ask the engine: `httpGet: {{path: /health, port: {port}}}` with `timeoutSeconds: 5`.",
        label,
    )


def _refused(server: Server, probe: Probe) -> str | None:
    """Why an httpGet on vLLM's port can never pass; None when it can."""
    if probe.type != "httpGet" or server.speaks_grpc or not targets_server(server, probe):
        return None
    if server.workload.carrier == "other" and probe.path_node is None:
        return None
    path = _plain_path(probe)
    root = server.get("root_path")
    if root.explicit and (not root.known or path.startswith(str(root.value))):
        return None
    if path in _MISSING_PATHS or (path == "/ping" and not server.release.at_least(_PING_SINCE)):
        return "404"
    return "405" if path in _POST_ONLY_PATHS else None


def _plain_path(probe: Probe) -> str:
    """The path without a query and without a slash at its end, which vLLM redirects."""
    path = probe.path.partition("?")[0]
    return path.rstrip("/") or "/"


def _dead_path(server: Server, dead: list[Probe]) -> Finding:
    first = dead[0]
    status = _refused(server, first)
    place = first.path_node.content if first.path_node is not None else _handler_key(first)
    said = "knows no" if status == "404" else "answers only POST on"
    named = [probe.path_node for probe in dead if probe.path_node is not None]
    return Finding(
        place,
        f"vLLM {said} `{first.path}`: the {probe_words(dead)} get{'s' if len(dead) == 1 else ''} {status} "
        f"forever, and {outcome(dead)}",
        "Ask `/health`: vLLM opens its port only once the model is loaded.",
        f"always {status}",
        severity="error",
        related=same_in((node.content for node in named), place),
        fix=replace_all("ask /health", ((node.content, "/health") for node in named)) if named else None,
    )


def _empty_readiness(server: Server, probe: Probe) -> tuple[Place, str, str] | None:
    """Place, label and words for a readiness probe that says nothing of the engine."""
    if probe.type == "tcpSocket":
        number = port_number(server, probe)
        foreign = number is not None and belongs_to_neighbour(server, number)
        if foreign or (targets_server(server, probe) and not server.speaks_grpc):
            opened = "another container" if foreign else "vLLM"
            return _handler_key(probe), "only connects", f"only connects to a port that {opened} has open"
    elif probe.type == "httpGet":
        path, number = _plain_path(probe), port_number(server, probe)
        place = probe.path_node.content if probe.path_node is not None else _handler_key(probe)
        if path in _STATIC_PATHS and targets_server(server, probe):
            return place, "always 200", f"asks `{path}`, which answers 200 whatever the engine does"
        proxied = path in {"/health", "/ping", "/v1/models"}
        if number is not None and not proxied and belongs_to_neighbour(server, number):
            return place, "another container answers", f"asks port {number} of another container"
    elif probe.type == "exec":
        words = probe.command
        script = words[-1].split() if len(words) > 2 and words[-2].endswith("c") else list(words)
        sequence = probe.node.sequence("exec", "command")
        if script and script[0].rpartition("/")[2] in _EMPTY_COMMANDS and not re.search("[;&|]", words[-1]):
            place = sequence.items[-1 if script is not words and len(words) > 2 else 0] if sequence else probe.key
            return where(place), "always passes", f"runs `{' '.join(script)}`, which passes whatever vLLM does"
    return None


def _handler_key(probe: Probe) -> Place:
    key = probe.node.key(probe.type)
    return key.content if key is not None else probe.key.content


def probe_port_mismatch(server: Server, world: World) -> Iterator[Finding]:
    """A probe on a port name that the container has not, or on a port that vLLM does not listen on."""
    if server.is_headless:
        return
    wrong: dict[str, list[Probe]] = {}
    for probe in ordered_probes(server):
        handler = probe.handler
        if probe.type in {"httpGet", "tcpSocket", "grpc"} and probe.port is not None and handler is not None:
            if not handler.string("host") and _is_wrong_port(server, probe.port.text.strip(), probe):
                wrong.setdefault(probe.port.text.strip(), []).append(probe)
    for text, probes in wrong.items():
        yield _wrong_port(server, text, probes)


def _is_wrong_port(server: Server, text: str, probe: Probe) -> bool:
    number = port_number(server, probe)
    if number is None:
        return is_port_name(text) and server.workload.carrier != "other"
    port = server.get("port")
    if server.port is None or number == server.port or server.get("uds").value:
        return False
    if server.workload.carrier == "other" and not port.explicit:
        return False
    if server.is_set("data_parallel_multi_port_external_lb") or belongs_to_neighbour(server, number):
        return False
    script = server.invocation.script
    others = [command for command in script.parsed.commands if command is not server.invocation.command] if script else []
    # another program of the same script may listen there
    return not any(str(number) in (word.text or "") for command in others for word in command.words)


def _wrong_port(server: Server, text: str, probes: list[Probe]) -> Finding:
    scalars = [probe.port for probe in probes if probe.port is not None]
    number = port_number(server, probes[0])
    words, then = probe_words(probes), outcome(probes)
    fails = "fails" if len(probes) == 1 else "fail"
    related = _listens(server)
    name = server.container.ports.get(server.port or 0, "")
    right = name or str(server.port)
    fix = replace_all(f"probe port {right}", ((port_place(scalar), right) for scalar in scalars)) if server.port else None
    if number is None:
        declared = ", ".join(f"`{one}`" for one in server.container.ports.values() if one) or "none"
        return Finding(
            scalars[0].content,
            f"no port of this container is named `{text}` (named: {declared}): the {words} {fails}, and {then}",
            f"Write `port: {right if server.port else DEFAULT_PORT}`, or give the container port that name.",
            "no such port",
            related=(*same_in((one.content for one in scalars), scalars[0].content), *related),
            fix=fix,
        )
    declared_port = _container_port(server, number) if not text.isdigit() else None
    if declared_port is not None:
        return Finding(
            declared_port.content,
            f"port `{text}` is {number} but vLLM listens on {server.port}: the {words} {fails}, and {then}",
            f"Write `containerPort: {server.port}`, or start vLLM with `--port={number}`.",
            f"vLLM listens on {server.port}",
            related=(*(Related(one.content, "probes it") for one in scalars), *related),
        )
    return Finding(
        scalars[0].content,
        f"vLLM listens on {server.port}, not on {number}: the {words} {fails}, and {then}",
        f"Write `port: {right}`, or start vLLM with `--port={number}`.",
        f"vLLM listens on {server.port}",
        related=(*same_in((one.content for one in scalars), scalars[0].content), *related),
        fix=fix,
    )


def _listens(server: Server) -> tuple[Related, ...]:
    """Where the port that vLLM listens on comes from."""
    port = server.get("port")
    if not port.known:
        return ()
    if port.explicit and port.place is not None:
        return (Related(port.place, "vLLM listens here"),)
    return (Related(server.anchor, f"no --port: vLLM listens on {DEFAULT_PORT}"),)


def _container_port(server: Server, number: int) -> Scalar | None:
    ports = server.container.node.mappings("ports")
    return next((port.scalar("containerPort") for port in ports if port.integer("containerPort") == number), None)
