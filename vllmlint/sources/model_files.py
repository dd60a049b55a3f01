"""A model's own files on disk: a config.json and what lies beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from vllmlint.models.config_files import CONFIG_FILE, HF_QUANT_FILE, INDEX_FILE, ModelFiles
from vllmlint.models.reference import read_reference
from vllmlint.sources.files import SourceError

#: The index of a model with 60,000 tensors (DeepSeek-V3 has 91,991 names) is under 10 MiB; what is larger
#: than this is no file of this kind.
MAX_BYTES = 64 * 1024 * 1024
#: The one weight file of a checkpoint that has no index.
SINGLE_WEIGHT_FILE = "model.safetensors"


def read_model_files(path: str, *, revision: str | None = None, source: str = "") -> ModelFiles:
    """The files of a model: `path` is a directory with a config.json, or a config file of any name.

    The index and ModelOpt's file are taken along where they lie in the same directory as a config.json.
    `source` is how the place is called in reports; as given where it is empty.

    Raises `SourceError` where there is no config or it cannot be read.
    """
    given = Path(path)
    directory: Path | None
    if given.is_dir():
        config, directory = given / CONFIG_FILE, given
        if not config.is_file():
            raise SourceError(f"no {CONFIG_FILE} in {path}")
    else:
        config, directory = given, given.parent if given.name == CONFIG_FILE else None
    text = _text(config)
    beside = (
        {}
        if directory is None
        else {name: _optional(directory / name) for name in (INDEX_FILE, HF_QUANT_FILE)}
    )
    index = beside.get(INDEX_FILE)
    return ModelFiles(
        source or str(config),
        text,
        index=index,
        hf_quant_config=beside.get(HF_QUANT_FILE),
        revision=revision,
        total_bytes=_size(directory / SINGLE_WEIGHT_FILE)
        if directory is not None and index is None
        else None,
    )


def declared_files(config: str, contract_directory: str) -> ModelFiles:
    """The files of a model that the contract names as its `config`, relative to the contract's directory.

    Raises `SourceError` where it does not exist or cannot be read.
    """
    path = os.path.join(contract_directory, config)
    return read_model_files(path, source=os.path.relpath(path) if _is_near(path) else path)


def files_beside(directory: str, model: str) -> ModelFiles | None:
    """The files in a directory of the model's own name beside a manifest: `org/name`, `name`, or the last
    part of a path; None where there is none. What cannot be read, and another program's config.json, is
    not there."""
    places = (os.path.join(directory, *name) for name in _directory_names(model))
    return next((files for place in places if (files := loose_files(place)) is not None), None)


def loose_files(directory: str) -> ModelFiles | None:
    """A bare config.json beside a manifest, where it is a model's; None where there is none."""
    if not os.path.isfile(os.path.join(directory, CONFIG_FILE)):
        return None
    from vllmlint.models.config_json import looks_like_a_model

    try:
        files = read_model_files(directory)
    except SourceError:
        return None
    return files if looks_like_a_model(files.config) else None


def _directory_names(model: str) -> Iterator[tuple[str, ...]]:
    read = read_reference(model)
    names = tuple(read.id.split("/")) if read.kind == "hub" else read.tail
    if names:
        yield names
    if len(names) > 1:
        yield names[-1:]


def _is_near(path: str) -> bool:
    """Whether a path lies under the current directory, so that its relative spelling is the shorter one."""
    return not os.path.relpath(path).startswith("..")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise SourceError(f"cannot read {path}: larger than {MAX_BYTES // 1024**2} MiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"cannot read {path}: not UTF-8 text") from error


def _optional(path: Path) -> str | None:
    try:
        return _text(path) if path.is_file() else None
    except SourceError:
        return None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
