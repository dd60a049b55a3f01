"""Section 0: what the engine has to say of the input itself."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.finding import Finding, Related
from vllmlint.manifest.reader import SourceFile
from vllmlint.world import World


def _problems(file: SourceFile, kind: str) -> Iterator[Finding]:
    for problem in file.problems:
        if problem.kind == kind:
            related = tuple(Related(place, label) for place, label in problem.related)
            yield Finding(problem.place, problem.message, problem.help, related=related)


def document_unparsable(file: SourceFile, world: World) -> Iterator[Finding]:
    """A document that is not YAML, or text that is not UTF-8."""
    yield from _problems(file, "document-unparsable")


def limit_exceeded(file: SourceFile, world: World) -> Iterator[Finding]:
    """A file or document beyond what is read."""
    yield from _problems(file, "limit-exceeded")


def duplicate_key(file: SourceFile, world: World) -> Iterator[Finding]:
    """A key that stands twice in one mapping."""
    yield from _problems(file, "duplicate-key")
