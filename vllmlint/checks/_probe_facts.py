"""What the probe rules ask of a probe: which port it reaches, who listens there, what its failure does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from vllmlint.finding import Edit, Fix, Related, where
from vllmlint.kube.pods import Container
from vllmlint.kube.probes import PROBE_NAMES, Probe
from vllmlint.manifest.text import Place
from vllmlint.regex import regex
from vllmlint.serving.server import Server

#: A port name as Kubernetes accepts it; anything else is a placeholder or a mistake for others to find.
_PORT_NAME = regex(r"[a-z0-9](?:[a-z0-9-]{0,13}[a-z0-9])?\Z")
#: Words of an exec probe that send it to the server's own port.
_HTTP_CLIENTS = regex(r"\b(?:curl|wget|grpc_health_probe|urllib|requests|httpx|httpie|nc)\b")

#: Commands of an exec probe that succeed whatever vLLM does.
_EMPTY_COMMANDS = frozenset({"true", "sleep", "echo", ":", "ls", "date", "exit"})


def ordered_probes(server: Server) -> tuple[Probe, ...]:
    """The probes of the server's container: startup, readiness, liveness."""
    return tuple(server.container.probes[name] for name in PROBE_NAMES if name in server.container.probes)


def port_number(server: Server, probe: Probe) -> int | None:
    """The port the kubelet connects to; None for an unknown name, a placeholder or no port.

    The kubelet looks a name up among the ports of the probe's own container only.
    """
    if probe.port is None:
        return None
    text = probe.port.text.strip()
    if text.isdigit():
        return int(text)
    return next((number for number, name in server.container.ports.items() if name == text), None)


def is_port_name(text: str) -> bool:
    """Whether a probe's port is a name, not a number and not a placeholder."""
    return not text.isdigit() and _PORT_NAME.match(text) is not None


def neighbours(server: Server) -> tuple[Container, ...]:
    """The other containers that run beside the server: main ones and native sidecars."""
    return tuple(
        other
        for other in server.workload.containers
        if other.role != "init" and other.node is not server.container.node
    )


def declared_by_neighbour(server: Server, number: int) -> bool:
    """Whether another container of the pod declares a port that is not this container's."""
    if number == server.port or number in server.container.ports:
        return False
    return any(number in other.ports for other in neighbours(server))


def mentioned_by_neighbour(server: Server, number: int) -> bool:
    """Whether another container of the pod may listen on a port: its ports, words or variables name it."""
    mention = re.compile(rf"(?<!\d){number}(?!\d)")
    return any(mention.search(other.node.place.text) for other in neighbours(server))


def targets_server(server: Server, probe: Probe) -> bool:
    """Whether a probe connects to vLLM's own port (or to this container, where the port cannot be told)."""
    handler = probe.handler
    if probe.type not in {"httpGet", "tcpSocket", "grpc"} or handler is None or handler.string("host"):
        return False
    number = port_number(server, probe)
    if number is None:
        return False
    return number in server.container.ports if server.port is None else number == server.port


def asks_server(server: Server, probe: Probe) -> bool:
    """Whether a probe fails while vLLM does not answer: through a network probe, or a client run by exec."""
    if probe.type == "exec":
        return any(_HTTP_CLIENTS.search(word) for word in probe.command)
    return targets_server(server, probe)


def has_placeholder(probe: Probe) -> bool:
    """Whether a number of the probe is written but is no number yet (a template's variable)."""
    return any(
        probe.node.scalar(name) is not None and probe.node.integer(name) is None
        for name in ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold")
    )


def outcome(probes: Sequence[Probe]) -> str:
    """What comes of probes that can never pass."""
    names = {probe.name for probe in probes}
    if names & {"startupProbe", "livenessProbe"}:
        return "the kubelet restarts the container again and again"
    return "the pod never becomes ready"


def probe_word(probe: Probe) -> str:
    """The probe in a sentence: `readiness probe`."""
    return probe.name.removesuffix("Probe") + " probe"


def probe_words(probes: Sequence[Probe]) -> str:
    """Probes in a sentence: `startup, readiness and liveness probes`."""
    words = [probe.name.removesuffix("Probe") for probe in probes]
    if len(words) == 1:
        return f"{words[0]} probe"
    return f"{', '.join(words[:-1])} and {words[-1]} probes"


def same_in(places: Iterable[Place], first: Place) -> tuple[Related, ...]:
    """The other places of one cause."""
    return tuple(Related(place, "the same") for place in dict.fromkeys(places) if place != first)


def replace_all(title: str, edits: Iterable[tuple[Place, str]]) -> Fix:
    """A safe fix of several replacements; a place that two probes share through an alias counts once."""
    return Fix(title, tuple(Edit(place, text) for place, text in dict(edits).items()), safe=True)


def empty_command(probe: Probe) -> tuple[Place, str, str] | None:
    """An exec probe of one command that succeeds whatever vLLM does, perhaps behind `sh -c`."""
    sequence = probe.node.sequence("exec", "command")
    words = list(probe.command)
    if sequence is None or len(sequence.items) != len(words) or not words:
        return None
    node = sequence.items[0]
    if len(words) == 3 and words[1].startswith("-") and words[1].endswith("c"):
        node, words = sequence.items[2], words[2].split()
    text = " ".join(words)
    if not words or words[0].rpartition("/")[2] not in _EMPTY_COMMANDS or re.search(r"[;&|\n]", text):
        return None
    return where(node), "always passes", f"runs `{text}`, which passes whatever vLLM does"


def handler_key(probe: Probe) -> Place:
    """The characters of the handler's name (`tcpSocket`)."""
    key = probe.node.key(probe.type)
    return key.content if key is not None else probe.key.content
