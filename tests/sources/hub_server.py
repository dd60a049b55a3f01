"""A hub on this machine: the part of the hub's HTTP interface that reading a model's files needs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"
TOKEN = "hf_" + "a" * 34


class Hub:
    """Repositories by id, each a mapping from file name to text; `asked` are the requests that came."""

    def __init__(self, repositories: Mapping[str, Mapping[str, str]]) -> None:
        self.repositories = {name.lower(): files for name, files in repositories.items()}
        self.asked: list[tuple[str, str, str]] = []
        self.gated: set[str] = set()
        self.broken = False
        self.endpoint = ""

    def paths(self) -> list[str]:
        """The paths that were asked for."""
        return [path for _, path, _ in self.asked]


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve a hub on a free port of the loopback device."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self, *, body: bool) -> None:
            path = self.path.split("?")[0]
            hub.asked.append((self.command, path, self.headers.get("Authorization", "")))
            status, content, headers = _reply(hub, path, self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


Reply = tuple[int, bytes, dict[str, str]]


def _reply(hub: Hub, path: str, authorization: str) -> Reply:
    if hub.broken:
        return 500, b"broken", {}
    parts = path.strip("/").split("/")
    api = parts[:2] == ["api", "models"]
    parts = parts[2:] if api else parts
    files = hub.repositories.get("/".join(parts[:2]).lower())
    if files is None:
        return _error(404, "RepoNotFound")
    if "/".join(parts[:2]).lower() in hub.gated and authorization != f"Bearer {TOKEN}":
        return _error(403, "GatedRepo")
    revision = parts[3] if len(parts) > 3 else "main"
    if revision not in ("main", "v1", COMMIT):
        return _error(404, "RevisionNotFound")
    if api:
        return _information("/".join(parts[:2]), files, gated="/".join(parts[:2]).lower() in hub.gated)
    name = "/".join(parts[4:])
    if name not in files:
        return _error(404, "EntryNotFound")
    content = files[name].encode()
    headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
    return 200, content, headers


def _information(name: str, files: Mapping[str, str], *, gated: bool) -> Reply:
    siblings = [{"rfilename": file, "size": len(text.encode())} for file, text in files.items()]
    info = {
        "id": name,
        "modelId": name,
        "sha": COMMIT,
        "siblings": siblings,
        "gated": "manual" if gated else False,
    }
    return 200, json.dumps(info).encode(), {"Content-Type": "application/json"}


def _error(status: int, code: str) -> Reply:
    return (
        status,
        json.dumps({"error": code}).encode(),
        {"X-Error-Code": code, "Content-Type": "application/json"},
    )
