"""The local Hugging Face cache: what a machine has already downloaded, read without huggingface_hub.

The layout is huggingface_hub's (`models--org--name/{refs,snapshots,blobs}`), the places are those of its
constants.py: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from vllmlint.models.config_files import CONFIG_FILE, ModelFiles
from vllmlint.models.reference import is_commit
from vllmlint.sources.files import SourceError
from vllmlint.sources.model_files import read_model_files


def cache_directory(env: Mapping[str, str]) -> Path:
    """Where the hub cache is, by the environment variables that huggingface_hub heeds."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if place := env.get(name):
            return _expanded(place, env)
    if home := env.get("HF_HOME"):
        return _expanded(home, env) / "hub"
    base = env.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return _expanded(base, env) / "huggingface" / "hub"


def cached_files(model_id: str, revision: str | None, env: Mapping[str, str]) -> ModelFiles | None:
    """The files of a model in the local cache at `revision` (a commit, also shortened, a branch or a tag;
    None: the default branch as it was when it was last fetched); None where the cache has no config.json."""
    repository = _repository(cache_directory(env), model_id)
    if repository is None:
        return None
    commit = _commit(repository, revision)
    if commit is None:
        return None
    snapshot = repository / "snapshots" / commit
    if not (snapshot / CONFIG_FILE).is_file():
        return None
    try:
        source = f"the local hub cache, {repository.name} at {commit[:12]}"
        return read_model_files(str(snapshot), revision=commit, source=source)
    except SourceError:
        return None


def _expanded(place: str, env: Mapping[str, str]) -> Path:
    """A path with `~` and variables written out as the given environment says."""
    for name, value in sorted(env.items(), key=lambda item: -len(item[0])):
        place = place.replace(f"${{{name}}}", value).replace(f"${name}", value)
    if place == "~" or place.startswith(f"~{os.sep}"):
        place = (env.get("HOME") or os.path.expanduser("~")) + place[1:]
    return Path(place)


def _repository(cache: Path, model_id: str) -> Path | None:
    """The folder of a repository; the hub does not tell cases apart, a file system may."""
    wanted = "models--" + model_id.replace("/", "--")
    exact = cache / wanted
    if exact.is_dir():
        return exact
    try:
        alike = [entry for entry in cache.iterdir() if entry.name.lower() == wanted.lower()]
    except OSError:
        return None
    return alike[0] if len(alike) == 1 and alike[0].is_dir() else None


def _commit(repository: Path, revision: str | None) -> str | None:
    """The commit whose snapshot a revision means; None where the cache does not have it."""
    snapshots = _names(repository / "snapshots")
    if revision is not None and is_commit(revision):
        alike = [name for name in snapshots if name.startswith(revision)]
        return alike[0] if len(alike) == 1 else None
    named = _ref(repository, revision or "main")
    if named is not None:
        return named if named in snapshots else None
    return snapshots[0] if revision is None and len(snapshots) == 1 else None


def _ref(repository: Path, name: str) -> str | None:
    """The commit that a branch or tag stood at when it was fetched."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or (os.sep != "/" and os.sep in name):
        return None
    try:
        commit = repository.joinpath("refs", *parts).read_text("utf-8").strip()
    except (OSError, ValueError):
        return None
    return commit if is_commit(commit) else None


def _names(directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in directory.iterdir() if entry.is_dir())
    except OSError:
        return []
