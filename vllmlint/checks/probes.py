"""Section probes: what tells Kubernetes that a server can serve, and what makes it kill one that can."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vllmlint.checks.probe_facts import (
    declared_by_neighbour,
    empty_command,
    handler_key,
    is_port_name,
    mentioned_by_neighbour,
    neighbours,
    ordered_probes,
    outcome,
    port_number,
    probe_words,
    replace_all,
    same_in,
    targets_server,
)
from vllmlint.checks.probe_paths import STATIC_PATHS, is_guarded, plain_path, refusal
from vllmlint.finding import Finding, Related, where
from vllmlint.kube.probes import Probe
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.manifest.text import Place
from vllmlint.serving.server import DEFAULT_PORT, Server
from vllmlint.world import World


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
            "no readiness probe: after the startup probe nothing takes the pod out of "
            f"{to} when vLLM stops answering",
            f"{advice} beside the startupProbe.",
            "no readinessProbe",
            severity="warning",
            related=(*related, Related(where(startup.key), "holds the pod back only until it has started")),
        )
        return
    declared = bool(server.container.ports) if server.port is None else server.port in server.container.ports
    sure = bool(services) and not probing
    is_error = (
        not server.invocation.opaque and not probing and (sure or (declared and workload.kind != "Pod"))
    )
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
    # a script may tell the ranks of a StatefulSet apart by the pod's ordinal
    ranked = server.workload.kind in {"LeaderWorkerSet", "StatefulSet"}
    return command is None or not (ranked and command.conditional)


def _probes_port(container: Mapping, port: int) -> bool:
    """Whether a neighbour's readiness probe asks vLLM's port: the pod is then ready when vLLM is."""
    return re.search(rf"(?<!\d){port}(?!\d)", _text_of(container, "readinessProbe")) is not None


def _text_of(node: Mapping, key: str) -> str:
    child = node.at(key)
    return child.place.text if child is not None else ""


def readiness_not_model_aware(server: Server, world: World) -> Iterator[Finding]:
    """A readiness probe that passes without a serving engine, or a probe on a path that never answers 200."""
    if (
        server.is_headless
        or server.invocation.opaque
        or server.is_set("data_parallel_multi_port_external_lb")
    ):
        return
    dead = [probe for probe in ordered_probes(server) if refusal(server, probe)]
    if dead:
        yield _dead_path(server, dead)
    readiness = server.container.probes.get("readinessProbe")
    if readiness is None or readiness in dead:
        return
    reason = _empty_readiness(server, readiness)
    if reason is None:
        return
    place, label, what = reason
    # vLLM opens its port after the load, so a probe on it waits for that at least
    own_port = targets_server(server, readiness)
    during = (
        "whose engine is dead or hangs" if own_port else "while its model loads, and when its engine is dead"
    )
    port = server.port or DEFAULT_PORT
    yield Finding(
        place,
        f"the readiness probe {what}: requests go to a pod {during}",
        f"Ask the engine: `httpGet: {{path: /health, port: {port}}}` with `timeoutSeconds: 5`.",
        label,
    )


def _dead_path(server: Server, dead: list[Probe]) -> Finding:
    first = dead[0]
    status = refusal(server, first)
    place = first.path_node.content if first.path_node is not None else handler_key(first)
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
        foreign = number is not None and declared_by_neighbour(server, number)
        if foreign or (targets_server(server, probe) and not server.speaks_grpc):
            opened = "another container" if foreign else "vLLM"
            return handler_key(probe), "only connects", f"only connects to a port that {opened} has open"
    elif probe.type == "httpGet":
        path, number = plain_path(probe), port_number(server, probe)
        place = probe.path_node.content if probe.path_node is not None else handler_key(probe)
        if path in STATIC_PATHS and targets_server(server, probe):
            return place, "always 200", f"asks `{path}`, which answers 200 whatever the engine does"
        proxied = path in {"/health", "/ping", "/v1/models"}
        if number is not None and not proxied and declared_by_neighbour(server, number):
            return place, "another container answers", f"asks port {number} of another container"
    elif probe.type == "exec":
        return empty_command(probe)
    return None


def probe_port_mismatch(server: Server, world: World) -> Iterator[Finding]:
    """A probe on a port name that the container has not, or on a port that vLLM does not listen on."""
    if server.is_headless:
        return
    wrong: dict[str, list[Probe]] = {}
    for probe in ordered_probes(server):
        handler = probe.handler
        if probe.port is None or handler is None or handler.string("host"):
            continue
        if _is_wrong_port(server, probe.port.text.strip(), probe):
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
    if server.is_set("data_parallel_multi_port_external_lb") or mentioned_by_neighbour(server, number):
        return False
    script = server.invocation.script
    others = (
        [command for command in script.parsed.commands if command is not server.invocation.command]
        if script
        else []
    )
    # another program of the same script may listen there
    return not any(str(number) in (word.text or "") for command in others for word in command.words)


def _wrong_port(server: Server, text: str, probes: list[Probe]) -> Finding:
    scalars = [probe.port for probe in probes if probe.port is not None]
    number = port_number(server, probes[0])
    words, then = probe_words(probes), outcome(probes)
    fails = "fails" if len(probes) == 1 else "fail"
    related = (*_listens(server), *_elsewhere(server, text))
    name = server.container.ports.get(server.port or 0, "")
    right = name or str(server.port)
    # the quotes go too: Kubernetes refuses a quoted number
    edits = [(scalar.place, right) for scalar in scalars] if server.port else []
    fix = replace_all(f"probe port {right}", edits) if edits else None
    if number is None:
        declared = ", ".join(f"`{one}`" for one in server.container.ports.values() if one) or "none"
        return Finding(
            scalars[0].content,
            f"no port of this container is named `{text}` (named: {declared}): "
            f"the {words} {fails}, and {then}",
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


def _elsewhere(server: Server, name: str) -> tuple[Related, ...]:
    """Ports of that name in other containers: the kubelet does not look there."""
    named = (
        port.scalar("name")
        for other in neighbours(server)
        for port in other.node.mappings("ports")
        if port.string("name") == name
    )
    return tuple(
        Related(node.content, "another container's: a probe does not see it") for node in named if node
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
    return next(
        (port.scalar("containerPort") for port in ports if port.integer("containerPort") == number), None
    )


def probe_scheme_mismatch(server: Server, world: World) -> Iterator[Finding]:
    """A probe that speaks HTTP to a port with TLS, HTTPS to one without, or HTTP to a gRPC server."""
    if server.is_headless:
        return
    tls = server.get("ssl_certfile")
    wanted = "HTTPS" if server.uses_tls else "HTTP"
    judged = server.uses_tls is not None and (tls.explicit or server.workload.carrier != "other")
    probes = [
        probe for probe in ordered_probes(server) if probe.type == "httpGet" and targets_server(server, probe)
    ]
    if server.speaks_grpc:
        yield from _http_on_grpc(server, probes)
        return
    wrong = [
        probe for probe in probes if judged and probe.scheme in {"HTTP", "HTTPS"} and probe.scheme != wanted
    ]
    if not wrong:
        return
    places = [probe.scheme_node.content if probe.scheme_node else handler_key(probe) for probe in wrong]
    speaks = "serves HTTPS (--ssl-certfile)" if server.uses_tls else "serves plain HTTP (no --ssl-certfile)"
    fails = "fails" if len(wrong) == 1 else "fail"
    certificate = (Related(tls.flag_place, "turns on TLS"),) if tls.flag_place is not None else ()
    edits = [edit for probe in wrong if (edit := _scheme_edit(probe, wanted)) is not None]
    yield Finding(
        places[0],
        f"vLLM {speaks}: the {probe_words(wrong)} in {wrong[0].scheme} {fails}, and {outcome(wrong)}",
        f"Write `scheme: {wanted}` under httpGet (the kubelet does not check the certificate)."
        if server.uses_tls
        else "Remove `scheme: HTTPS`, or give vLLM `--ssl-certfile` and `--ssl-keyfile`.",
        f"{wanted} here" if server.uses_tls else "vLLM has no TLS",
        related=(*same_in(places, places[0]), *certificate),
        fix=replace_all(f"scheme: {wanted}", edits) if len(edits) == len(wrong) else None,
    )


def _http_on_grpc(server: Server, probes: list[Probe]) -> Iterator[Finding]:
    if probes:
        place, flag = handler_key(probes[0]), server.get("grpc").flag_place
        yield Finding(
            place,
            f"vLLM speaks gRPC on this port: the {probe_words(probes)} in HTTP can never pass, "
            f"and {outcome(probes)}",
            "Use `tcpSocket`, or `grpc` where the server has the gRPC health service.",
            "gRPC here",
            related=(
                *same_in((handler_key(probe) for probe in probes), place),
                *((Related(flag, "gRPC instead of HTTP"),) if flag is not None else ()),
            ),
        )


def _scheme_edit(probe: Probe, wanted: str) -> tuple[Place, str] | None:
    """The replacement of the scheme, or its insertion before the port."""
    if probe.scheme_node is not None:
        return probe.scheme_node.content, wanted
    key = probe.handler.key("port") if probe.handler is not None else None
    if key is None or probe.handler is None:
        return None
    place = Place(key.source, key.start, key.start)
    if key.source.text[probe.handler.start] == "{":
        return place, f"scheme: {wanted}, "
    column = key.source.position(key.start).column - 1
    return place, f"scheme: {wanted}\n{' ' * column}"


def probe_needs_api_key(server: Server, world: World) -> Iterator[Finding]:
    """A probe without a key on a path that vLLM guards with one."""
    key = _api_key(server)
    if key is None or server.is_headless:
        return
    source, certain = key
    probes = [
        probe
        for probe in ordered_probes(server)
        if probe.type == "httpGet" and targets_server(server, probe) and "authorization" not in probe.headers
        if probe.path_node is not None and is_guarded(server, probe.path) and refusal(server, probe) is None
    ]
    if not probes:
        return
    nodes = [probe.path_node for probe in probes if probe.path_node is not None]
    yield Finding(
        nodes[0].content,
        f"vLLM wants its API key on `{probes[0].path}`: the {probe_words(probes)} "
        f"get{'s' if len(probes) == 1 else ''} 401 forever, and {outcome(probes)}",
        "Ask `/health`, which needs no key.",
        "answers 401",
        confidence="high" if certain else "medium",
        assumptions=() if certain else ("the optional Secret with the key exists",),
        related=(Related(source, "the key"), *same_in((node.content for node in nodes), nodes[0].content)),
        fix=replace_all("ask /health", ((node.content, "/health") for node in nodes)),
    )


def _api_key(server: Server) -> tuple[Place, bool] | None:
    """Where the API key is set, and whether it is set for certain; None when there is none."""
    flag = server.get("api_key")
    if (
        flag.explicit
        and flag.flag_place is not None
        and (not flag.known or flag.value not in ("", [], [""], None))
    ):
        return flag.flag_place, True
    variable = server.env.get("VLLM_API_KEY")
    if variable is None or variable.value == "":
        return None
    entries = (
        entry for entry in server.container.node.mappings("env") if entry.string("name") == "VLLM_API_KEY"
    )
    optional = any(entry.flag("valueFrom", "secretKeyRef", "optional") for entry in entries)
    return variable.name_node.content, not optional
