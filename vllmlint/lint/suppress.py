"""Ignores: comments in the file, annotations on the object, matchers in the contract."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import field
from typing import Literal

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence
from vllmlint.manifest.reader import SourceFile
from vllmlint.manifest.text import Place
from vllmlint.record import mutable
from vllmlint.regex import regex
from vllmlint.rulebook import Rule, find_rule

ANNOTATION_PREFIX = "ignore.vllmlint.dev/"
_MARK = "vllmlint:"
_COMMENT = regex(
    r"#\s*vllmlint:\s*(?P<scope>ignore(?:-file)?)\s*(?:\[(?P<rules>[^\]\n]*)\])?(?P<reason>[^\n]*)"
)
_UNTIL = regex(r"\buntil\s*=\s*([^\s,;]+)")
#: Problems for which a document, or the whole file, is not linted.
_UNREAD = frozenset({"document-unparsable", "limit-exceeded"})


@mutable
class Ignore:
    """One ignore of one rule.

    `place` is the rule's name where it is written. `lines` are the lines it speaks for (empty: all
    that `nodes` hold, or the whole file). `until` is the last day it holds. `used` is set when it silenced
    a finding. `speaks_of_unread` is set when it may mean a document that was not linted.
    """

    rule: str
    place: Place
    scope: Literal["line", "file", "object"]
    reason: str
    lines: frozenset[int] = frozenset()
    nodes: tuple[Node, ...] = ()
    until: datetime.date | None = None
    bad_until: str = ""
    used: bool = field(default=False)
    speaks_of_unread: bool = False

    @property
    def known_rule(self) -> Rule | None:
        """The rule it names; None when no rule has that name."""
        return find_rule(self.rule)

    def covers(self, rule: Rule, place: Place, lines: frozenset[int]) -> bool:
        """Whether a finding of `rule` at `place`, on these lines, is meant."""
        if self.rule not in {"*", "all"} and self.known_rule is not rule:
            return False
        if self.scope == "line":
            return bool(self.lines & lines)
        if self.scope == "object":
            return any(node.start <= place.start < node.end for node in self.nodes)
        return True


def read_ignores(file: SourceFile, objects: list[KubeObject], workloads: list[Workload]) -> list[Ignore]:
    """All ignores that a file states, in order of place."""
    text = file.source.text
    found: list[Ignore] = []
    if _MARK in text:
        found += _comments(file)
    if ANNOTATION_PREFIX in text:
        found += _annotations(objects, workloads)
    return sorted(found, key=lambda ignore: ignore.place.start)


def _comments(file: SourceFile) -> Iterator[Ignore]:
    text = file.source.text
    strings = _multi_line_scalars(file)
    following = _next_content_lines(file)
    for match in _COMMENT.finditer(text):
        start = match.start()
        before = text[text.rfind("\n", 0, start) + 1 : start]
        # `a#b` is no comment, nor is anything inside a quoted or block scalar
        if (before and before[-1] not in " \t") or any(low <= start < high for low, high in strings):
            continue
        line = file.source.line_of(start)
        lines = {line} if before.strip() else {line, following[line]}
        yield from _from_comment(file, match, frozenset(lines))


def _from_comment(file: SourceFile, match: re.Match[str], lines: frozenset[int]) -> Iterator[Ignore]:
    source = file.source
    reason, until, bad = _reason(match["reason"].strip(" \t\r:"))
    scope: Literal["file", "line"] = "file" if match["scope"] == "ignore-file" else "line"
    unread = _means_unread(file, match.start(), scope)
    if match["rules"] is None:
        place = Place(source, match.start("scope"), match.end("scope"))
        yield Ignore("", place, scope, reason, lines, until=until, bad_until=bad)
        return
    offset = match.start("rules")
    for part in match["rules"].split(","):
        name = part.strip()
        start = offset + len(part) - len(part.lstrip())
        place = Place(source, start, start + len(name))
        if not name:
            place = Place(source, match.start("rules") - 1, match.end("rules") + 1)
        yield Ignore(name, place, scope, reason, lines, until=until, bad_until=bad, speaks_of_unread=unread)
        offset += len(part) + 1


def _means_unread(file: SourceFile, offset: int, scope: str) -> bool:
    """Whether a comment may be about a template, or a document that cannot be read."""
    if not file.skipped and not any(problem.kind in _UNREAD for problem in file.problems):
        return False
    return scope == "file" or not any(one.place.start <= offset < one.place.end for one in file.documents)


def _next_content_lines(file: SourceFile) -> list[int]:
    """For each line (from 1) the line that a comment there speaks for: the next that is not blank and
    no comment."""
    last = len(file.source.line_starts)
    following = [last] * (last + 1)
    for line in range(last - 1, 0, -1):
        below = file.source.line_text(line + 1).lstrip()[:1]
        following[line] = following[line + 1] if below in {"", "#"} and line + 1 < last else line + 1
    return following


def _reason(text: str) -> tuple[str, datetime.date | None, str]:
    match = _UNTIL.search(text)
    if match is None:
        return text, None, ""
    reason = (text[: match.start()] + text[match.end() :]).strip(" ;,")
    try:
        return reason, datetime.date.fromisoformat(match.group(1)), ""
    except ValueError:
        return reason, None, match.group(1)


def _multi_line_scalars(file: SourceFile) -> list[tuple[int, int]]:
    """Where quoted and block scalars stand: a `#` in them starts no comment."""
    found: list[tuple[int, int]] = []
    stack: list[Node] = [document.root for document in file.documents]
    seen: set[int] = set()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Scalar):
            if node.style:
                start = node.start
                if node.style in "|>":  # a comment may stand behind the block's header
                    start = node.source.text.find("\n", node.start, node.end)
                found.append((start, node.end))
        elif isinstance(node, Mapping):
            stack += node.entries.values()
            stack += node.keys.values()
        elif isinstance(node, Sequence):
            stack += node.items
    return found


def _annotations(objects: list[KubeObject], workloads: list[Workload]) -> Iterator[Ignore]:
    for obj in objects:
        yield from _annotated(obj.node.at("metadata", "annotations"), (obj.node,))
    for workload in workloads:
        if workload.template is not workload.object.node:
            yield from _annotated(workload.template.at("metadata", "annotations"), (workload.template,))


def _annotated(node: Node | None, covered: tuple[Node, ...]) -> Iterator[Ignore]:
    if not isinstance(node, Mapping):
        return
    for key, value in node.entries.items():
        if key.startswith(ANNOTATION_PREFIX):
            scalar = node.keys[key]
            name = key.removeprefix(ANNOTATION_PREFIX)
            place = scalar.part(len(ANNOTATION_PREFIX), len(key))
            reason, until, bad = _reason(
                value.text if isinstance(value, Scalar) and not value.is_null else ""
            )
            yield Ignore(name, place, "object", reason, nodes=covered, until=until, bad_until=bad)


def finding_lines(place: Place, scalar: Scalar | None) -> frozenset[int]:
    """The lines on which an ignore comment can stand for a finding.

    The line it starts on; and where that is inside a block or folded scalar, which can hold no
    comment, also the line on which the scalar starts.
    """
    lines = {place.line}
    if scalar is not None:
        lines.add(scalar.source.line_of(scalar.start))
    return frozenset(lines)


def scalar_at(root: Node, offset: int) -> Scalar | None:
    """The innermost scalar of a document that holds an offset."""
    node: Node | None = root
    while node is not None and not isinstance(node, Scalar):
        children: list[Node] = []
        if isinstance(node, Mapping):
            children = list(node.entries.values())
        elif isinstance(node, Sequence):
            children = node.items
        node = next((child for child in children if child.start <= offset < child.end), None)
    return node
