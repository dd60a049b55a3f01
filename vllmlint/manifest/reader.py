"""Bytes of a file to documents of nodes with spans; whatever is wrong with one becomes a problem."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import field

from yaml.error import MarkedYAMLError, YAMLError
from yaml.reader import ReaderError

from vllmlint.manifest import limits
from vllmlint.manifest.compose import Composed, DocumentError, compose_document
from vllmlint.manifest.nodes import Node
from vllmlint.manifest.problem import Problem
from vllmlint.manifest.text import BOM_BYTES, Place, SourceText
from vllmlint.record import mutable, record
from vllmlint.regex import regex

#: A document marker: alone at the start of a line it ends a document wherever it stands.
_MARKER = regex(r"^(?:---|\.\.\.)(?=[ \t\r\n]|\Z)", re.MULTILINE)
#: Only directives and comments: belongs to the document that follows.
_NO_CONTENT = regex(r"(?:[ \t\r]*(?:[#%][^\n]*)?(?:\n|\Z))*\Z")
#: Actions that only Helm's (or another Go) template engine gives a meaning to.
_HELM_ACTION = regex(
    r"\{\{-?\s*(?:/\*|\$(?!(?:labels|externalLabels|value)\b)|\.(?:Values|Release|Chart|Files|Capabilities|Template)\b|"
    r"(?:include|template|tpl|toYaml|if|else|end|range|with|define|block|fail|required|default|printf|quote)\b)"
)
_JINJA_STATEMENT = regex(r"^[ \t]*\{%-?\s", re.MULTILINE)


@mutable
class Document:
    """One YAML document: `index` counts from 0 in its file; `place` is all its text."""

    index: int
    place: Place
    root: Node


@record
class Skipped:
    """A document that is not linted; `index` None speaks of the whole file."""

    index: int | None
    place: Place
    reason: str


@mutable
class SourceFile:
    """One file as it was read: its documents, what was wrong, what was skipped and why.

    `starts` says where the documents begin, those that could not be read included: offset and number.
    """

    source: SourceText
    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    starts: list[tuple[int, int]] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The file as the user named it."""
        return self.source.path

    def document_at(self, offset: int) -> int:
        """The number of the document that stands at an offset."""
        before = bisect_right(self.starts, offset, key=lambda pair: pair[0])
        return self.starts[before - 1][1] if before else 0


def read_manifest(path: str, data: bytes) -> SourceFile:
    """Read a YAML or JSON manifest.

    Never raises for what the bytes hold: undecodable text, syntax errors and exceeded limits are
    `problems`, templates are `skipped`; every other document of the file is in `documents`.
    """
    if len(data) > limits.MAX_FILE_BYTES:
        return _too_large(path)
    bom_length = len(BOM_BYTES) if data.startswith(BOM_BYTES) else 0
    try:
        source = SourceText(path, data[bom_length:].decode("utf-8"), bom_length)
    except UnicodeDecodeError as error:
        return _undecodable(path, data[bom_length:], bom_length, error)
    result = SourceFile(source)
    index = 0
    for start, end in _chunks(source.text):
        if index >= limits.MAX_DOCUMENTS:
            place = Place(source, start, min(start + 3, end))
            result.problems.append(
                Problem(
                    "limit-exceeded",
                    place,
                    f"more than {limits.MAX_DOCUMENTS} documents in one file: the rest is not linted",
                    "Split the file.",
                )
            )
            break
        count = _read_chunk(result, start, end, index)
        if count:
            result.starts.append((start, index))
        index += count
    return result


def _chunks(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each stretch that holds a document, its `---` line and directives included."""
    start = 0
    for match in _MARKER.finditer(text) if "---" in text or "..." in text else ():
        at = match.start()
        if match[0] == "---" and _is_head(text, start, at):
            continue
        if _has_content(text, start, at):
            yield start, at
        line_end = text.find("\n", at)
        start = at if match[0] == "---" else line_end + 1 if line_end >= 0 else len(text)
    if _has_content(text, start, len(text)):
        yield start, len(text)


def _has_content(text: str, start: int, end: int) -> bool:
    """Whether there is more than a `---`, comments and directives."""
    body = start + 3 if text.startswith("---", start) else start
    return _NO_CONTENT.match(text, body, end) is None


def _is_head(text: str, start: int, end: int) -> bool:
    """Whether directives stand in front of a `---`: they belong to its document."""
    directive = text.startswith("%", start) or text.find("\n%", start, end) >= 0
    return directive and _NO_CONTENT.match(text, start, end) is not None


def _read_chunk(result: SourceFile, start: int, end: int, index: int) -> int:
    """Read the documents between two offsets, the first of which has number `index`; how many there are."""
    source = result.source
    chunk = source.text[start:end]
    templated = "{{" in chunk or "{%" in chunk
    try:
        composed = compose_document(source, start, end)
    except DocumentError as error:
        result.problems.append(Problem(error.kind, error.place, error.message, error.help))
        return 1
    except (YAMLError, ValueError) as error:
        if templated:
            _skip_template(result, index, start, end, chunk)
        else:
            result.problems.append(_syntax_problem(source, start, end, error))
        return 1
    if templated and (composed.has_complex_key or _HELM_ACTION.search(chunk) or _is_jinja(composed, chunk)):
        _skip_template(result, index, start, end, chunk)
        return 1
    result.problems.extend(composed.problems)
    for offset, root in enumerate(composed.roots):
        result.documents.append(Document(index + offset, Place(source, start, end), root))
    return len(composed.roots)


def _is_jinja(composed: Composed, chunk: str) -> bool:
    """Whether a document that parses is still a Jinja template: a ConfigMap may well hold a chat template."""
    if _JINJA_STATEMENT.search(chunk) is None:
        return False
    return any(root.string("kind") != "ConfigMap" for root in composed.roots)


def _skip_template(result: SourceFile, index: int, start: int, end: int, chunk: str) -> None:
    kind = (
        "Helm template" if _HELM_ACTION.search(chunk) else "Jinja template" if "{%" in chunk else "template"
    )
    first = start + min(at for at in (chunk.find("{{"), chunk.find("{%")) if at >= 0)
    place = Place(result.source, first, min(first + 2, end))
    result.skipped.append(Skipped(index, place, f"unrendered {kind}"))


def _syntax_problem(source: SourceText, start: int, end: int, error: Exception) -> Problem:
    """A syntax error with its place; libyaml counts from the start of the chunk."""
    offset, reason = start, str(error)
    if isinstance(error, MarkedYAMLError):
        reason = error.problem or "the document does not parse"
        mark = error.problem_mark or error.context_mark
        offset = start + (mark.index if mark is not None else 0)
        if offset >= start + len(source.text[start:end].rstrip()) and error.context_mark is not None:
            offset = start + error.context_mark.index  # what was never closed, not the end of the text
        if error.context and error.context_mark is not None and mark is not error.context_mark:
            reason = f"{reason} ({error.context})"
    elif isinstance(error, ReaderError):
        character = f" (#x{ord(error.character):04x})" if isinstance(error.character, str) else ""
        reason = error.reason + character
        offset = start + _characters(source.text[start:end], error.position)
    # an error met at the end of the text belongs to its last character, not to the document that follows
    offset = min(offset, start + max(len(source.text[start:end].rstrip()) - 1, 0))
    hint = (
        "A tab cannot indent YAML: use spaces."
        if source.text[offset : offset + 1] == "\t"
        else "Mend the syntax here; a template must be rendered first."
    )
    place = Place(source, offset, min(offset + 1, len(source.text)))
    return Problem("document-unparsable", place, f"the document is not valid YAML: {reason}", hint)


def _characters(text: str, byte_offset: int) -> int:
    return (
        byte_offset if text.isascii() else len(text.encode("utf-8")[:byte_offset].decode("utf-8", "ignore"))
    )


def _too_large(path: str) -> SourceFile:
    source = SourceText(path, "")
    mib = limits.MAX_FILE_BYTES // (1024 * 1024)
    message = f"the file has more than the {mib} MiB that are read: nothing in it is linted"
    return SourceFile(
        source, problems=[Problem("limit-exceeded", Place(source, 0, 0), message, "Split the file.")]
    )


def _undecodable(path: str, data: bytes, bom_length: int, error: UnicodeDecodeError) -> SourceFile:
    source = SourceText(path, data.decode("utf-8", "replace"), bom_length)
    offset = len(data[: error.start].decode("utf-8"))
    name = "UTF-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "not UTF-8"
    message = f"the file is {name}: byte {data[error.start]:#04x} cannot be read, so nothing in it is linted"
    place = Place(source, offset, min(offset + 1, len(source.text)))
    return SourceFile(
        source, problems=[Problem("document-unparsable", place, message, "Save the file as UTF-8.")]
    )
