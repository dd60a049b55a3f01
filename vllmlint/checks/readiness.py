"""Section probes: what tells Kubernetes that a server can serve."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from vllmlint.checks._probe_facts import (
    declared_by_neighbour,
    empty_command,
    handler_key,
    neighbours,
    ordered_probes,
    outcome,
    port_number,
    probe_words,
    replace_all,
    same_in,
    targets_server,
)
from vllmlint.checks._probe_paths import STATIC_PATHS, plain_path, refusal
from vllmlint.finding import Finding, Related, where
from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Container
from vllmlint.kube.probes import Probe
from vllmlint.manifest.nodes import Mapping
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
    to = f"Service `{services[0].name}`" if services else "any Service that selects it"
    startup = server.container.probes.get("startupProbe")
    is_held = startup is not None and bool(startup.type)
    if probing and not is_held:
        said = (
            f"no readiness probe: the pod is ready as soon as container `{probing[0].name}` is, so unless "
            f"that waits for vLLM, {to} sends requests while it loads (connection refused)"
        )
    elif is_held:
        said = (
            "no readiness probe: after the startup probe nothing takes the pod out of "
            f"{to} when vLLM stops answering"
        )
    else:
        said = (
            "no readiness probe: the pod counts as ready the moment its process starts, so "
            f"{to} sends requests to it for the minutes in which vLLM loads (connection refused)"
        )
    yield _unasked(server, services, said, weak=is_held or bool(probing), probing=probing)


def _unasked(
    server: Server, services: Sequence[KubeObject], said: str, *, weak: bool, probing: Sequence[Container]
) -> Finding:
    """The finding of `readiness_missing`: an error where requests come in before anything asked vLLM."""
    port = server.port or DEFAULT_PORT
    ports = server.container.ports
    declared = bool(ports) if server.port is None else server.port in ports
    exposed = bool(services) or (declared and server.workload.kind != "Pod")
    startup = server.container.probes.get("startupProbe")
    related = [Related(where(service.anchor), "sends requests to it") for service in services[:1]]
    related += [Related(where(probe.key), "only this one is asked") for probe in _readiness_of(probing)[:1]]
    if startup is not None:
        related.append(Related(startup.key.content, "holds the pod back only until it has started"))
    return Finding(
        server.anchor,
        said,
        f"Add `readinessProbe: {{httpGet: {{path: /health, port: {port}}}, timeoutSeconds: 5}}`"
        + (" and a startupProbe that allows for the load." if startup is None else "."),
        "no readinessProbe",
        severity="error" if exposed and not weak and not server.invocation.opaque else "warning",
        confidence="low" if probing else "high" if services and not server.invocation.opaque else "medium",
        assumptions=() if services else ("something outside these files sends requests to the pod",),
        related=tuple(related),
    )


def _readiness_of(containers: Sequence[Container]) -> list[Probe]:
    return [container.probes["readinessProbe"] for container in containers]


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
