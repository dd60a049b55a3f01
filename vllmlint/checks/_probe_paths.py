"""Which HTTP paths vLLM's API server answers, and how (vllm-command-line.md, section 5)."""

from __future__ import annotations

from vllmlint.checks._probe_facts import targets_server
from vllmlint.kube.probes import Probe
from vllmlint.serving.server import Server

#: Paths people take from other servers and that vLLM's API server does not have (404; its routes are listed
#: in vllm-command-line.md, section 5).
_MISSING_PATHS = frozenset(
    {
        "/",
        "/ready",
        "/readyz",
        "/readiness",
        "/live",
        "/livez",
        "/liveness",
        "/healthz",
        "/health/ready",
        "/health/live",
        "/health/liveness",
        "/health/readiness",
        "/healthcheck",
        "/health_generate",
        "/api/health",
        "/v1/health",
        "/v1/health/ready",
        "/v1/health/live",
        "/v2/health/ready",
        "/v2/health/live",
        "/api/tags",
        "/status",
        "/up",
    }
)
#: Routes that answer POST only: a probe's GET gets 405.
_POST_ONLY_PATHS = frozenset(
    {
        "/v1/completions",
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/score",
        "/v1/rerank",
        "/rerank",
        "/score",
        "/pooling",
        "/classify",
        "/tokenize",
        "/detokenize",
        "/invocations",
        "/generate",
    }
)
#: Routes that answer 200 whatever the engine does.
STATIC_PATHS = frozenset({"/metrics", "/version", "/load", "/docs", "/redoc", "/openapi.json"})
_PING_SINCE = "0.7.0"
#: Path prefixes that want a key, with the release they are guarded since (authenticate.py GUARDED_PREFIX).
_GUARDED = (("/v1", "0.0.0"), ("/v2", "0.22.0"), ("/inference", "0.22.0"), ("/cohere", "0.27.0"))


def refusal(server: Server, probe: Probe) -> str | None:
    """Why an httpGet on vLLM's port can never pass; None when it can."""
    if probe.type != "httpGet" or server.speaks_grpc or not targets_server(server, probe):
        return None
    if server.workload.carrier == "other" and probe.path_node is None:
        return None
    path = plain_path(probe)
    root = server.get("root_path")
    if root.explicit and (not root.known or path.startswith(str(root.value))):
        return None
    if path in _MISSING_PATHS or (path == "/ping" and not server.release.at_least(_PING_SINCE)):
        return "404"
    return "405" if path in _POST_ONLY_PATHS else None


def plain_path(probe: Probe) -> str:
    """The path without a query and without a slash at its end, which vLLM redirects."""
    path = probe.path.partition("?")[0]
    return path.rstrip("/") or "/"


def is_guarded(server: Server, path: str) -> bool:
    """Whether vLLM answers 401 on a path without a key; the releases guard more and more prefixes."""
    return any(path.startswith(prefix) and server.release.at_least(since) for prefix, since in _GUARDED)
