"""Probes and their time budgets."""

from __future__ import annotations

from typing import Literal

from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.record import record

ProbeName = Literal["startupProbe", "readinessProbe", "livenessProbe"]
HandlerName = Literal["httpGet", "tcpSocket", "exec", "grpc"]
HANDLERS: tuple[HandlerName, ...] = ("httpGet", "tcpSocket", "exec", "grpc")
PROBE_NAMES: tuple[ProbeName, ...] = ("startupProbe", "readinessProbe", "livenessProbe")

# Defaults of core/v1 Probe (Kubernetes API reference)
DEFAULT_PERIOD_SECONDS = 10
DEFAULT_TIMEOUT_SECONDS = 1
DEFAULT_FAILURE_THRESHOLD = 3


@record
class Probe:
    """One probe of a container.

    `type` is the handler (empty when the probe names none), `port` its port scalar (a number or a
    name), `path` and `scheme` those of httpGet (`/` and `HTTP` by default), `headers` the names of
    its HTTP headers in lower case, `command` the words of exec.
    """

    name: ProbeName
    node: Mapping
    key: Scalar
    type: HandlerName | Literal[""]
    port: Scalar | None
    path: str
    path_node: Scalar | None
    scheme: str
    scheme_node: Scalar | None
    headers: frozenset[str]
    command: tuple[str, ...]
    initial_delay_seconds: int
    period_seconds: int
    timeout_seconds: int
    failure_threshold: int

    @property
    def budget_seconds(self) -> int:
        """Seconds from container start until the probe has failed for good."""
        return self.initial_delay_seconds + self.period_seconds * self.failure_threshold

    @property
    def handler(self) -> Mapping | None:
        """The mapping of the handler."""
        return self.node.mapping(self.type) if self.type else None


def read_probe(container: Mapping, name: ProbeName) -> Probe | None:
    """The probe `name` of a container; None when it has none."""
    node, key = container.mapping(name), container.key(name)
    if node is None or key is None:
        return None
    kind: HandlerName | Literal[""] = next((name for name in HANDLERS if node.mapping(name) is not None), "")
    handler = node.mapping(kind) if kind else None
    headers = handler.mappings("httpHeaders") if handler is not None else ()
    words = handler.sequence("command") if handler is not None else None
    return Probe(
        name=name,
        node=node,
        key=key,
        type=kind,
        port=handler.scalar("port") if handler is not None else None,
        path=(handler.string("path") or "/") if handler is not None else "/",
        path_node=handler.scalar("path") if handler is not None else None,
        scheme=((handler.string("scheme") or "HTTP") if handler is not None else "HTTP").upper(),
        scheme_node=handler.scalar("scheme") if handler is not None else None,
        headers=frozenset((header.string("name") or "").lower() for header in headers),
        command=tuple(word.text for word in words.items if isinstance(word, Scalar))
        if words is not None
        else (),
        initial_delay_seconds=node.integer("initialDelaySeconds") or 0,
        period_seconds=node.integer("periodSeconds") or DEFAULT_PERIOD_SECONDS,
        timeout_seconds=node.integer("timeoutSeconds") or DEFAULT_TIMEOUT_SECONDS,
        failure_threshold=node.integer("failureThreshold") or DEFAULT_FAILURE_THRESHOLD,
    )
