"""Section network: how requests and probes reach the server, and what Services do to its environment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from vllmlint.finding import Confidence, Edit, Finding, Fix, Related, Severity, where
from vllmlint.kube.objects import KubeObject, string_map
from vllmlint.kube.pods import Container, Workload
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.serving.flag_tables import env_table
from vllmlint.serving.release import Release
from vllmlint.serving.server import Server
from vllmlint.world import World

#: Settings that every start reads (vllm/envs.py get_vllm_port; vllm/config/parallel.py); the others only
#: matter once a connector is configured that uses them.
_ALWAYS_READ = frozenset({"VLLM_PORT", "VLLM_DP_MASTER_PORT"})
#: Hosts that only processes of the same pod reach.
_LOOPBACK = regex(r"localhost|127(?:\.\d{1,3}){3}|\[?(?:0{0,4}:){2,7}0{0,3}1\]?", re.IGNORECASE)
_ALL_INTERFACES = "0.0.0.0"
#: Ports that parts of vLLM, Ray and the KV connectors listen on without being told to (vllm/envs.py and the
#: connectors' sources; Ray's documentation).
_SIDE_PORTS = frozenset(
    {5555, 5556, 5557, 5558, 5559, 5600, 5601, 5710, 6379, 8265, 8998, 9256, 10001, 29500, 29501, 29550}
)
#: Port names of something other than the API.
_SIDE_NAME = regex(
    r"kv|zmq|nixl|rpc|ray|gcs|event|replay|bootstrap|side|debug|dist|nccl|dash|mooncake|lmcache|client|tokeni",
    re.IGNORECASE,
)
_MESH = regex(r"istio|linkerd|kuma|consul", re.IGNORECASE)
#: Containers that commonly pass requests on.
_PROXY = regex(
    r"proxy|envoy|nginx|router|routing|gateway|caddy|haproxy|traefik|istio|linkerd|auth|sidecar|agent|runtime"
    r"|guard|tls|mesh|adapter",
    re.IGNORECASE,
)


@cache
def _port_settings(release: Release) -> tuple[str, ...]:
    """The variables of a release that a Service's link variable could set."""
    return tuple(sorted(name for name in env_table(release).declared if name.endswith("_PORT")))


def service_name_collides_with_vllm_env(server: Server, world: World) -> Iterator[Finding]:
    """A Service whose link variable has the name of one of vLLM's settings."""
    workload = server.workload
    if workload.carrier == "other" or workload.spec.flag("enableServiceLinks") is False:
        return
    for name in _port_settings(server.release):
        # Kubernetes turns the Service's name into capitals and its dashes into underscores
        service_name = name.removesuffix("_PORT").lower().replace("_", "-")
        service = world.index.named("Service", service_name, server.object)
        if service is None or not _has_address(service) or _is_set(name, server):
            continue
        unused = name not in _ALWAYS_READ and not _transfers(server)
        certain = service.namespace == server.object.namespace and not unused
        named = where(service.anchor)
        severity: Severity | None = "warning" if unused else None
        yield Finding(
            _link_place(server),
            f"the Service `{service.name}` makes Kubernetes set {name}=tcp://<ip>:<port> in every pod that "
            f"starts after it; vLLM reads {name} as a number and ends with a ValueError, so the next restart "
            "becomes a crash loop",
            "Write `enableServiceLinks: false` into the pod's spec, or give the Service another name.",
            f"gets {name}",
            severity=severity,
            confidence="high" if certain else "medium",
            assumptions=_namespace_assumption(service, server.object),
            related=(Related(named, f"becomes {name}"),),
            fix=_switch_off_links(workload),
        )


def service_targetport_mismatch(service: KubeObject, world: World) -> Iterator[Finding]:
    """A port of a Service that leads to a port of the pod that nothing listens on."""
    spec = service.node.mapping("spec")
    if service.kind != "Service" or service.group or spec is None or not _has_address(service):
        return
    backends = [_Backend(workload, world.servers_in(workload)) for workload in _selected(service, world)]
    # a Service that also selects pods without vLLM is meant for them, or for nothing that can be told here
    if any(backend.workload.carrier == "other" or not backend.servers for backend in backends):
        return
    ports = list(spec.mappings("ports"))
    for backend in backends:
        if all(_port_is_known(server) for server in backend.servers):
            works = any(backend.reached_by(port) for port in ports)
            findings = (_judge_port(port, backend, "warning" if works else None) for port in ports)
            yield from (finding for finding in findings if finding is not None)


def bind_localhost(server: Server, world: World) -> Iterator[Finding]:
    """A server that only its own pod can reach, though something outside is told to reach it."""
    host, socket = server.get("host"), server.get("uds")
    if socket.known and socket.value:
        value, listens = socket, f"on the socket `{socket.value}` and on no port"
    elif host.known and isinstance(host.value, str) and _LOOPBACK.fullmatch(host.value):
        value, listens = host, f"on `{host.value}` only"
    else:
        return
    related, certain = _callers(server, world)
    if not related:
        return
    place = value.place if value is host else value.flag_place
    fix = None
    if (
        value is host
        and value.place is not None
        and value.origin == "args"
        and value.place.text == host.value
    ):
        fix = Fix("listen on all interfaces", (Edit(value.place, _ALL_INTERFACES),), safe=False)
    yield Finding(
        place or server.anchor,
        f"vLLM listens {listens}, which nothing outside the pod reaches: {_refused(related)}",
        "Write `--host=0.0.0.0`, or leave the flag out: vLLM then listens on all interfaces."
        if value is host
        else "Leave `--uds` out, or put a proxy that serves the port into the pod.",
        "reachable inside the pod only",
        confidence="high" if certain else "medium",
        related=tuple(related),
        fix=fix,
    )


def _has_address(service: KubeObject) -> bool:
    """Whether the Service has an IP: a headless or external one gives pods no variables and maps no ports."""
    spec = service.node.mapping("spec")
    return spec is None or (spec.string("clusterIP") != "None" and spec.string("type") != "ExternalName")


def _is_set(name: str, server: Server) -> bool:
    """Whether the container or its script sets or unsets the variable: that counts more than the link."""
    if name in server.env or any(word.text == name for word in server.invocation.launcher):
        return True
    script = server.invocation.script
    text = script.word.text if script is not None else None
    return text is not None and re.search(rf"\b{name}=|\bunset\b[^\n;&|]*\b{name}\b", text) is not None


def _transfers(server: Server) -> bool:
    return any(server.get(name).explicit for name in ("kv_transfer_config", "ec_transfer_config"))


def _namespace_assumption(service: KubeObject, other: KubeObject) -> tuple[str, ...]:
    same = service.namespace == other.namespace
    return () if same else ("the Service and the pods are in one namespace",)


def _link_place(server: Server) -> Place:
    explicit = server.workload.spec.scalar("enableServiceLinks")
    return explicit.content if explicit is not None else server.anchor


def _switch_off_links(workload: Workload) -> Fix | None:
    """Set the field, or put it in front of `containers` where that key has a line of its own."""
    title = "set enableServiceLinks: false"
    explicit = workload.spec.scalar("enableServiceLinks")
    if explicit is not None:
        return Fix(title, (Edit(explicit.content, "false"),), safe=False)
    key = workload.spec.key("containers")
    if key is None:
        return None
    source = key.source
    start = source.line_starts[source.line_of(key.start) - 1]
    indent = source.text[start : key.start]
    if indent.strip():
        return None
    return Fix(
        title,
        (Edit(Place(source, key.start, key.start), f"enableServiceLinks: false\n{indent}"),),
        safe=False,
    )


def _selected(service: KubeObject, world: World) -> list[Workload]:
    """The workloads of the run whose pods the Service sends requests to.

    Files beside each other are often variants of one deployment: those in the Service's own file count
    alone where there are any.
    """
    found = world.selected_by(service)
    own = [workload for workload in found if workload.object.file.path == service.file.path]
    return own or found


def _port_is_known(server: Server) -> bool:
    if server.is_headless or server.is_simulator or server.port is None:
        return False
    several = server.get("data_parallel_multi_port_external_lb")
    socket = server.get("uds")
    return several.known and not several.value and socket.known and not socket.value


def _target(port: Mapping) -> Scalar | None:
    """Where a port of a Service leads: `targetPort`, else the same number."""
    return port.scalar("targetPort") or port.scalar("port")


@record
class _Backend:
    """The pods behind a Service and the vLLM servers in them."""

    workload: Workload
    servers: list[Server]

    @property
    def listening(self) -> str:
        """The ports of the servers."""
        return ", ".join(sorted({str(server.port) for server in self.servers}))

    @property
    def others(self) -> list[Container]:
        """The containers beside the servers that run as long as they do."""
        mine = [server.container for server in self.servers]
        return [one for one in self.workload.containers if one.role != "init" and one not in mine]

    @property
    def injected(self) -> bool:
        """Whether a webhook is asked to add a container (meshes, which pass every port on, aside)."""
        marks = {**string_map(self.workload.template.at("metadata", "annotations")), **self.workload.labels}
        return any(
            "inject" in key and value != "false" and not _MESH.search(key) for key, value in marks.items()
        )

    def named(self, name: str) -> list[tuple[Container, int, Scalar]]:
        """The container ports that a name stands for, with the scalar of the number."""
        return [
            (container, number, entry.scalar("containerPort") or node)
            for container in (*(server.container for server in self.servers), *self.others)
            for entry in container.node.mappings("ports")
            if (node := entry.scalar("name")) is not None and node.text == name
            if (number := entry.integer("containerPort")) is not None
        ]

    def reached_by(self, port: Mapping) -> bool:
        """Whether a port of a Service leads to a server."""
        target = _target(port)
        if target is None:
            return False
        numbers = [int(target.text)] if target.text.isdigit() else [n for _, n, _ in self.named(target.text)]
        return any(server.port in numbers for server in self.servers)

    def nothing_on(self, number: int) -> Confidence | None:
        """How sure it is that no process of the pod listens on a port; None when one may."""
        if number in _SIDE_PORTS or any(server.port == number for server in self.servers):
            return None
        mention = re.compile(rf"(?<![\w.]){number}(?![\w.])")
        containers = (*(server.container for server in self.servers), *self.others)
        if any(mention.search(_text_of(container)) for container in containers):
            return None
        if self.injected:
            return None
        silent = [container for container in self.others if not container.ports]
        if any(number in container.ports for container in self.others):
            return None
        if any(_PROXY.search(_title(container)) for container in silent):
            return None
        return "medium" if silent else "high"


def _judge_port(port: Mapping, backend: _Backend, severity: Severity | None) -> Finding | None:
    target, name = _target(port), port.string("name") or ""
    if target is None or port.string("protocol") not in {None, "TCP"} or _SIDE_NAME.search(name):
        return None
    if target.text.isdigit():
        confidence = backend.nothing_on(int(target.text))
        explicit = port.scalar("targetPort") is not None
        label = "nothing listens there" if explicit else f"without targetPort it leads to {target.text}"
        fact = f"leads to port {target.text} of the pods, but vLLM listens on {backend.listening}"
        related = []
    else:
        if not re.fullmatch(r"[a-z0-9-]+", target.text) or _SIDE_NAME.search(target.text):
            return None
        found = backend.named(target.text)
        related = [Related(node.content, "the port of this name") for _, _, node in found]
        judged = [backend.nothing_on(number) for _, number, _ in found]
        confidence = None if None in judged else "medium" if "medium" in judged else "high"
        label = "nothing listens there" if found else "no container port has this name"
        numbers = ", ".join(sorted({str(number) for _, number, _ in found}))
        fact = f"leads to port {numbers} of the pods, but vLLM listens on {backend.listening}"
        if not found:
            fact = f"leads to a port named `{target.text}`, which no container of the pods declares"
    if confidence is None:
        return None
    metrics = " `/metrics` is served on the same port as the API." if "metric" in name else ""
    silent = [container.name for container in backend.others if not container.ports]
    return Finding(
        where(target),
        f"port {port.string('port')} of the Service {fact}: {_end_of_connections(label)}",
        f"Write `targetPort: {backend.listening}`, or give vLLM the `--port` that is meant.{metrics}",
        label,
        severity=severity,
        confidence=confidence,
        assumptions=tuple(f"the container `{one}` does not listen there" for one in silent),
        related=(*related, *(_listens(server) for server in backend.servers)),
    )


def _end_of_connections(label: str) -> str:
    if label.startswith("no container"):
        return "the Service has no endpoint for it, and connections to it are refused"
    return "connections through it are refused"


def _listens(server: Server) -> Related:
    value = server.get("port")
    if value.place is not None:
        return Related(value.place, "vLLM listens here")
    return Related(server.anchor, f"listens on {server.port}, vLLM's default")


def _title(container: Container) -> str:
    return f"{container.name} {container.image.text if container.image is not None else ''}"


def _text_of(container: Container) -> str:
    """The words and variables that may give a container further ports."""
    words = [word.text for word in (*(container.command or ()), *(container.args or ()))]
    values = [entry.string("value") or "" for entry in container.node.mappings("env")]
    return "\n".join((*words, *values))


def _callers(server: Server, world: World) -> tuple[list[Related], bool]:
    """Who is told to reach the server's port from outside the pod, and whether somebody surely tries."""
    port, container = server.port, server.container
    if port is None:
        return [], False
    others = [one for one in server.workload.containers if one is not container and one.role != "init"]
    if any(port in one.ports for one in others):
        return [], False
    related = [
        Related(probe.port.content, f"the {probe.name} asks here")
        for probe in container.probes.values()
        if probe.port is not None and _port_number(probe.port, container) == port
    ]
    services = world.services_of(server.workload) if server.workload.carrier != "other" else []
    related += [
        Related(target.content, f"the Service `{service.name}` sends requests here")
        for service in services
        for entry in service.node.mappings("spec", "ports")
        if (target := _target(entry)) is not None and _port_number(target, container) == port
    ]
    if related or others or server.workload.carrier == "other" or server.workload.spec.flag("hostNetwork"):
        return related, True
    for entry in container.node.mappings("ports"):
        declared = entry.scalar("containerPort")
        if declared is not None and entry.integer("containerPort") == port:
            related.append(Related(declared.content, "offered to other pods"))
    return related, False


def _port_number(port: Scalar, container: Container) -> int | None:
    """A port by number or by the name it has in a container."""
    if port.text.isdigit():
        return int(port.text)
    return next((number for number, name in container.ports.items() if name == port.text), None)


def _refused(related: list[Related]) -> str:
    if any("probe" in one.label.lower() for one in related):
        return "the probes get `connection refused` and the pod never becomes ready"
    if any("Service" in one.label for one in related):
        return "requests through the Service get `connection refused`"
    return "other pods get `connection refused`"
