"""Files of real nodes, on disk and on standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from vllmlint.hardware.nodes_file import NodesFile, NodesFileError, joined, read_nodes
from vllmlint.sources.files import SourceError

#: Bytes that are read at a time: a list of thousands of nodes is never in memory whole.
_CHUNK = 1 << 20


def read_node_files(paths: Sequence[str]) -> NodesFile:
    """The nodes of several files together; `-` is standard input. No limit of size holds for them.

    Raises SourceError for a file that cannot be read or holds no nodes; the text says where and why.
    """
    try:
        return joined((_shown(path), read_nodes(_shown(path), _text(path))) for path in dict.fromkeys(paths))
    except NodesFileError as error:
        raise SourceError(str(error)) from error


def _shown(path: str) -> str:
    return "<stdin>" if path == "-" else path


def _text(path: str) -> Iterator[str]:
    import io

    try:
        if path == "-":
            if sys.stdin is None:
                raise SourceError("cannot read standard input: it is closed")
            yield from _chunks(io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig"))
            return
        with Path(path).open(encoding="utf-8-sig") as file:
            yield from _chunks(file)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"cannot read {path}: no UTF-8 text (byte {error.start})") from error


def _chunks(file: IO[str]) -> Iterator[str]:
    while piece := file.read(_CHUNK):
        yield piece
