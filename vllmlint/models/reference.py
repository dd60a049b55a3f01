"""How a model is written on a command line, taken apart: hub ids with their prefixes, cache paths, URLs."""

from __future__ import annotations

import re
from typing import Literal

from vllmlint.record import record
from vllmlint.regex import regex

ReferenceKind = Literal["hub", "path", "url", "unknown"]

#: Where the hub answers, and the prefixes that tools write before a hub id (KServe, Dynamo, llm-d: `hf://`).
_HUB_PREFIX = regex(r"(?:hf://|https?://(?:www\.)?(?:huggingface\.co|hf\.co)/|(?:huggingface\.co|hf\.co)/)")
#: Pages of a hub repository: `org/name/tree/REVISION`, `/blob/REVISION/config.json`.
_HUB_PAGE = regex(r"(?:tree|blob|resolve|raw|commit)/([^/?#]+)")
_NAME = r"[A-Za-z0-9][\w.-]*"
_HUB_ID = regex(rf"({_NAME}(?:/{_NAME})?)(?:[@:]([\w./-]+))?\Z")
#: The hub cache's directory of a repository: `models--org--name/snapshots/COMMIT`.
_CACHE = regex(rf"(?:\A|/)models--({_NAME}?)(?:--({_NAME}))?(?:/snapshots/([0-9a-f]{{7,40}}))?(?:/|\Z)")
#: A commit of a repository, whole or shortened, as opposed to a branch or a tag.
_COMMIT = regex(r"[0-9a-f]{7,40}\Z")


@record
class ModelName:
    """A reference taken apart: `id` is the hub id (`kind` hub), else the path or URL without a slash at its
    end; `revision` what the reference itself says; `tail` the last two names of a path or URL."""

    text: str
    kind: ReferenceKind
    id: str
    revision: str | None = None
    tail: tuple[str, ...] = ()


def read_reference(text: str) -> ModelName:
    """Take a model reference apart; a text with something unresolved in it is `unknown`."""
    stripped = text.strip()
    if not stripped or re.search(r"\$[({A-Za-z_]|\{\{|<[A-Za-z_ -]+>|\0", stripped):
        return ModelName(text, "unknown", stripped)
    if cached := _CACHE.search(stripped):
        organisation, name, commit = cached.groups()
        return ModelName(text, "hub", f"{organisation}/{name}" if name else organisation, commit)
    if prefix := _HUB_PREFIX.match(stripped):
        return _hub(text, stripped[prefix.end() :].strip("/"))
    if "://" in stripped:
        return _located(text, stripped, "url")
    if stripped.startswith(("/", "./", "../", "~")) or stripped.strip("/").count("/") > 1:
        return _located(text, stripped, "path")
    return _hub(text, stripped.rstrip("/"))


def is_commit(revision: str) -> bool:
    """Whether a revision names a commit, not a branch or a tag."""
    return _COMMIT.match(revision) is not None


def same_commit(one: str, other: str) -> bool:
    """Whether two commits, one of them perhaps shortened, are the same."""
    return one.startswith(other) or other.startswith(one)


def _hub(text: str, rest: str) -> ModelName:
    revision = None
    names = rest.split("/", 2)
    if len(names) == 3:
        page = _HUB_PAGE.match(names[2])
        revision = page[1] if page else None
        rest = "/".join(names[:2])
    rest = rest.split("?", 1)[0].split("#", 1)[0]
    found = _HUB_ID.match(rest)
    if found is None:
        return ModelName(text, "unknown", rest)
    return ModelName(text, "hub", found[1], found[2] or revision)


def _located(text: str, stripped: str, kind: ReferenceKind) -> ModelName:
    whole = stripped.rstrip("/")
    names = [name for name in whole.split("://", 1)[-1].split("/") if name not in ("", ".", "..", "~")]
    if kind == "url":
        names = names[1:]  # the bucket, registry or claim is no name of a model
    return ModelName(text, kind, whole, tail=tuple(names[-2:]))
