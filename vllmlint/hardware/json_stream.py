"""Kubernetes objects from JSON of any size, one by one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from vllmlint.hardware.nodes_file import NodesFileError

_SPACE = " \t\r\n"
#: How much of what is read already may lie in memory before it is dropped.
_KEEP = 1 << 20


def json_objects(name: str, head: str, pieces: Iterable[str]) -> Iterator[tuple[int, Any]]:
    """The objects of a text, `head` first, each with its line: the items of lists, and what stands alone.

    Raises NodesFileError where the text is no JSON.
    """
    stream = _Stream(name, head, pieces)
    while stream.peek():
        first, line = stream.peek(), stream.line
        if first == "[":
            yield from stream.items()
        elif first == "{":
            rest: dict[str, Any] = {}
            listed = False
            for key in stream.keys():  # noqa: SIM118 - no mapping
                if key == "items" and stream.peek() == "[":
                    listed = True
                    yield from stream.items()
                else:
                    rest[key] = stream.value()
            if not listed:
                yield line, rest
        else:
            raise stream.error("a Kubernetes object or a list of them is wanted here")


class _Stream:
    """JSON text that comes in pieces, with a position in it."""

    def __init__(self, name: str, head: str, pieces: Iterable[str]) -> None:
        self._name = name
        self._buffer = head
        self._pieces = iter(pieces)
        self._at = 0
        self._lines = 1  # the line that the buffer begins on
        self._column = 1
        self._decode = json.JSONDecoder().raw_decode

    @property
    def line(self) -> int:
        """The line of the next character."""
        return self._lines + self._buffer.count("\n", 0, self._at)

    def error(self, message: str, at: int | None = None) -> Exception:
        """An error at the next character, or at another place of the buffer."""
        at = self._at if at is None else at
        line = self._lines + self._buffer.count("\n", 0, at)
        start = self._buffer.rfind("\n", 0, at)
        column = at - start if start >= 0 else at + self._column
        return NodesFileError(f"{self._name}:{line}:{column}: {message}")

    def _more(self) -> bool:
        """Read on, as much as lies there already, so that a long value is tried few times."""
        wanted = max(1, len(self._buffer) - self._at)
        added = []
        for piece in self._pieces:
            added.append(piece)
            wanted -= len(piece)
            if wanted <= 0:
                break
        self._buffer += "".join(added)
        return bool(added)

    def _drop(self) -> None:
        passed = self._buffer[: self._at]
        self._lines += passed.count("\n")
        last = passed.rfind("\n")
        self._column = self._at - last if last >= 0 else self._column + self._at
        self._buffer = self._buffer[self._at :]
        self._at = 0

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._buffer) or not self._more():
                return self._buffer[self._at : self._at + 1]

    def _take(self, wanted: str) -> None:
        if self.peek() != wanted:
            raise self.error(f"{wanted!r} is wanted here")
        self._at += 1

    def value(self) -> Any:
        """The next value."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if not self._more():
                    raise self.error(f"no JSON: {error.msg}", error.pos) from None
                continue
            except RecursionError:
                raise self.error("the value nests too deep") from None
            if end == len(self._buffer) and self._more():
                continue  # a number may go on in the next piece
            self._at = end
            if end > _KEEP:
                self._drop()
            return value

    def keys(self) -> Iterator[str]:
        """The keys of the next object; whoever asks reads the value after each."""
        self._take("{")
        while self.peek() != "}":
            key = self.value() if self.peek() == '"' else None
            if not isinstance(key, str):
                raise self.error("a key in quotes is wanted here")
            self._take(":")
            yield key
            if self.peek() == ",":
                self._take(",")
            elif self.peek() != "}":
                raise self.error("',' or '}' is wanted here")
        self._take("}")

    def items(self) -> Iterator[tuple[int, Any]]:
        """The values of the next array, each with its line."""
        self._take("[")
        while self.peek() != "]":
            line = self.line
            yield line, self.value()
            if self.peek() == ",":
                self._take(",")
            elif self.peek() != "]":
                raise self.error("',' or ']' is wanted here")
        self._take("]")
