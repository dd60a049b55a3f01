"""Section probes: probes that can never pass: port, protocol, key."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.checks._probe_facts import (
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
from vllmlint.checks._probe_paths import is_guarded, refusal
from vllmlint.finding import Finding, Related
from vllmlint.kube.probes import Probe
from vllmlint.manifest.nodes import Scalar
from vllmlint.manifest.text import Place
from vllmlint.serving.server import DEFAULT_PORT, Server
from vllmlint.world import World


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
    # a number loses its quotes, Kubernetes refuses a quoted one; a name keeps them
    edits = [(scalar.content if name else scalar.place, right) for scalar in scalars] if server.port else []
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
    if key.style:
        return place, f'"scheme": "{wanted}", '
    if key.source.text[probe.handler.start] == "{":
        return place, f"scheme: {wanted}, "
    column = key.source.position(key.start).column - 1
    return place, f"scheme: {wanted}\n{' ' * column}"


def probe_needs_api_key(server: Server, world: World) -> Iterator[Finding]:
    """A probe without a key on a path that vLLM guards with one."""
    key = server.api_key
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
