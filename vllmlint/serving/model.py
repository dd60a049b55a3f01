"""What a server is told to serve: a hub id, a path, a URL."""

from __future__ import annotations

from typing import Literal

from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.regex import regex

ModelKind = Literal["hub", "path", "url", "unknown"]

#: `org/name`, and `org/name:Q4_K_M` for one file of a GGUF repository.
_HUB_ID = regex(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*(?::[\w.-]+)?)?\Z")
_PLACEHOLDER = regex(
    r"\$\{|\$\(|\{\{|\$[A-Za-z_]|<[A-Za-z_ -]+>|\0|\b(?:__[A-Z_]+__|REPLACE_\w+|V_[A-Z_]+)\b"
)


@record
class ModelReference:
    """The model of a server.

    `kind` is `hub` for an id on the Hugging Face hub (`org/name`, `hf://org/name`), `path` for a
    directory in the container, `url` for an object store or another scheme, `unknown` when the
    manifest does not tell. `place` is None when the model is vLLM's default. `id` is the hub id
    without its scheme, or the path or URL as written.
    """

    id: str
    kind: ModelKind
    place: Place | None
    source: Literal["positional", "option", "default", "config", "unknown"]


def classify_model(text: str | None) -> tuple[str, ModelKind]:
    """The id and the kind of a model as it is written."""
    if text is None or not text or _PLACEHOLDER.search(text):
        return text or "", "unknown"
    if text.startswith("hf://"):
        return text.removeprefix("hf://").rstrip("/"), "hub"
    if "://" in text:
        return text, "url"
    if text.startswith(("/", "./", "../", "~")):
        return text, "path"
    return text, "hub" if _HUB_ID.match(text) else "unknown" if "/" not in text else "path"
