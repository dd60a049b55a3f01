"""What another release answers to a server's probes."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.facts.probe_endpoints import dead_engine_answers, endpoint, guarded_prefixes
from vllmlint.kube.probes import PROBE_NAMES, Probe
from vllmlint.manifest.nodes import Scalar
from vllmlint.manifest.text import Place
from vllmlint.plans.upgrade_change import Change, Sides, reached
from vllmlint.regex import regex
from vllmlint.serving.release import Release
from vllmlint.serving.server import Server

#: A request that an exec probe makes to its own pod.
_LOCAL_URL = regex(
    r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::(?P<port>\d+))?(?P<path>/[\w./-]*)"
)


def probe_changes(sides: Sides) -> Iterator[Change]:
    """Probe paths that the target lacks, guards with the API key, or answers differently."""
    told: set[str] = set()
    for name in PROBE_NAMES:
        probe = sides.after.container.probes.get(name)
        found = _request(sides.after, probe) if probe is not None else None
        if probe is None or found is None:
            continue
        path, place = found
        yield from _existence(sides, probe, path, place)
        yield from _guard(sides, probe, path, place)
        if name != "startupProbe" and path not in told:
            told.add(path)
            yield from _dead_engine(sides, path, place)


def _request(server: Server, probe: Probe) -> tuple[str, Place] | None:
    """The path that a probe asks vLLM's own port for, and its place."""
    if server.speaks_grpc or server.is_headless:
        return None
    if probe.type == "exec":
        return _exec_request(server, probe)
    if probe.type != "httpGet" or probe.port is None or (probe.handler and probe.handler.string("host")):
        return None
    text = probe.port.text.strip()
    ports = server.container.ports
    number = int(text) if text.isdigit() else next((one for one, name in ports.items() if name == text), None)
    if number is None or (server.port is not None and number != server.port):
        return None
    place = probe.path_node.content if probe.path_node is not None else probe.key.content
    return _plain(probe.path), place


def _exec_request(server: Server, probe: Probe) -> tuple[str, Place] | None:
    words = probe.handler.sequence("command") if probe.handler is not None else None
    for word in words.items if words is not None else ():
        match = _LOCAL_URL.search(word.text) if isinstance(word, Scalar) else None
        if match is None or not isinstance(word, Scalar):
            continue
        port = int(match["port"] or (443 if match.group().startswith("https") else 80))
        if server.port is None or port == server.port:
            return _plain(match["path"]), word.part(match.start("path"), match.end("path"))
    return None


def _plain(path: str) -> str:
    """Without a query, and without the slash at the end that vLLM redirects."""
    return path.partition("?")[0].rstrip("/") or "/"


def _title(probe: Probe, path: str) -> str:
    return f"{probe.name} {path}"


def _existence(sides: Sides, probe: Probe, path: str, place: Place) -> Iterator[Change]:
    known = endpoint(path)
    if known is None:
        return
    now = reached(sides.target, known.since)
    was = sides.source is None or reached(sides.source, known.since)
    if was and not now:
        lacks = f"404: new in {known.since}"
        yield Change("probe", _title(probe, path), "answered", lacks, True, "path: /health", place)
    elif now and not was:
        yield Change("probe", _title(probe, path), f"404: new in {known.since}", "answered", place=place)


def _guard(sides: Sides, probe: Probe, path: str, place: Place) -> Iterator[Change]:
    if sides.after.api_key is None or "authorization" in probe.headers or probe.type == "exec":
        return
    now, was = _guarded(path, sides.target), sides.source is not None and _guarded(path, sides.source)
    if now and not was and sides.source is not None:
        after = "401: wants the API key"
        yield Change("probe", _title(probe, path), "open", after, True, "path: /health", place)
    elif was and not now:
        yield Change("probe", _title(probe, path), "401: wants the API key", "open", place=place)


def _guarded(path: str, release: Release) -> bool:
    return any(path.startswith(one.prefix) and reached(release, one.since) for one in guarded_prefixes())


def _dead_engine(sides: Sides, path: str, place: Place) -> Iterator[Change]:
    """What the path says of a dead engine."""
    if sides.source is None:
        return
    was, now = _answer(path, sides.source), _answer(path, sides.target)
    if was is not None and now is not None and was != now:
        yield Change("probe", f"{path} of a dead engine", was, now, place=place)


def _answer(path: str, release: Release) -> str | None:
    rows = [row for row in dead_engine_answers(path) if reached(release, row.since)]
    return rows[-1].answer if rows else None
