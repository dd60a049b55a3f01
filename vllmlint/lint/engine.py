"""Runs the rules over a world: selection, containment, order, one cause one finding, ignores."""

from __future__ import annotations

import hashlib
import importlib
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from functools import cache
from typing import Any

from vllmlint.finding import Finding, Related
from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Container, Workload
from vllmlint.lint.result import ObjectRef, Reported, Spot
from vllmlint.lint.selection import Selection
from vllmlint.manifest.reader import SourceFile
from vllmlint.manifest.routes import format_route, route_of
from vllmlint.manifest.text import Place
from vllmlint.record import mutable
from vllmlint.rulebook import Rule, find_rule
from vllmlint.serving.server import Server
from vllmlint.severity import Severity
from vllmlint.world import FileFacts, World

CheckFunction = Callable[[Any, World], Iterable[Finding]]
Subject = SourceFile | KubeObject | Workload | Server

#: The rule under which a rule that raised is reported.
RULE_FAILED = "rule-failed"


@mutable
class Hit:
    """A finding with the rule that made it and the subject it is about."""

    rule: Rule
    finding: Finding
    subject: Subject
    facts: FileFacts
    severity: Severity
    folded: list[Related] = field(default_factory=list)

    @property
    def object(self) -> KubeObject | None:
        """The Kubernetes object of the subject."""
        if isinstance(self.subject, KubeObject):
            return self.subject
        return None if isinstance(self.subject, SourceFile) else self.subject.object

    @property
    def container(self) -> Container | None:
        """The container of the subject."""
        return self.subject.container if isinstance(self.subject, Server) else None


def run_rules(facts: FileFacts, world: World, selection: Selection, errors: list[str]) -> list[Hit]:
    """Every finding of every selected rule in one file, in order of place and rule; the tracebacks of
    rules that raised go to `errors`."""
    chosen = selection.rules_for(world.contract_of(facts.file.path))
    found: list[Hit] = []
    for kind, subjects in _subjects(facts):
        if not subjects:
            continue
        for rule, severity in chosen.get(kind, ()):
            for subject in subjects:
                # no call for each rule and subject: most find nothing, and there are very many
                try:
                    findings = list(check_function(rule)(subject, world))
                except Exception as error:
                    found.append(_failure(rule, subject, facts, error, errors))
                    continue
                if findings:
                    found += [
                        Hit(rule, one, subject, facts, _severity(rule, severity, one)) for one in findings
                    ]
    return _fold(_deduplicate(found))


def _subjects(facts: FileFacts) -> Iterator[tuple[str, list[Any]]]:
    yield "source_file", [facts.file]
    yield "object", facts.objects
    yield "workload", facts.workloads
    yield "server", [server for server in facts.servers if not server.is_simulator]


def _severity(rule: Rule, severity: Severity, finding: Finding) -> Severity:
    """The finding's own severity, unless the contract set the rule's."""
    return finding.severity if finding.severity and severity == rule.severity else severity


def _failure(rule: Rule, subject: Subject, facts: FileFacts, error: Exception, errors: list[str]) -> Hit:
    """A rule that raised, as a finding."""
    errors.append(f"rule {rule.name} on {_title(subject)}:\n{traceback.format_exc()}")
    failed = find_rule(RULE_FAILED)
    if failed is None:
        raise error
    message = (
        f"the rule {rule.name} failed on {_title(subject)} and was not checked:"
        f" {type(error).__name__}: {error}"
    )
    finding = Finding(
        _anchor(subject), message, "Please report this with the manifest; -v shows the traceback."
    )
    return Hit(failed, finding, subject, facts, failed.severity)


@cache
def _function(check: str) -> CheckFunction:
    module, _, name = check.rpartition(".")
    function: CheckFunction = getattr(importlib.import_module(f"vllmlint.checks.{module}"), name)
    return function


def check_function(rule: Rule) -> CheckFunction:
    """The function of a rule, its module imported on first use."""
    return _function(rule.check)


def _title(subject: Subject) -> str:
    if isinstance(subject, SourceFile):
        return subject.path
    if isinstance(subject, KubeObject):
        return subject.title
    if isinstance(subject, Server):
        return f"{subject.object.title} container {subject.container.name!r}"
    return subject.object.title


def _anchor(subject: Subject) -> Place:
    if isinstance(subject, SourceFile):
        return Place(subject.source, 0, min(1, len(subject.source.text)))
    if isinstance(subject, Server):
        return subject.anchor
    return (subject if isinstance(subject, KubeObject) else subject.object).anchor.place


def _deduplicate(hits: list[Hit]) -> list[Hit]:
    """One finding for one rule, place and message: an aliased node is met once for each use."""
    unique: dict[tuple[str, int, int, int, str], Hit] = {}
    for hit in hits:
        place = hit.finding.place
        unique.setdefault((hit.rule.id, id(place.source), place.start, place.end, hit.finding.message), hit)
    return sorted(
        unique.values(), key=lambda hit: (hit.finding.place.start, hit.rule.id, hit.finding.place.end)
    )


def _fold(hits: list[Hit]) -> list[Hit]:
    """Drop what only follows from another finding about the same container (or object), and name its
    place in that finding."""
    if not any(hit.rule.follows for hit in hits):
        return hits
    causes = {(hit.rule.name, id(hit.object), id(hit.container)): hit for hit in reversed(hits)}
    kept: list[Hit] = []
    for hit in hits:
        keys = [
            (name, id(hit.object), id(scope)) for name in hit.rule.follows for scope in (hit.container, None)
        ]
        cause = next((causes[key] for key in keys if key in causes), None)
        if cause is None:
            kept.append(hit)
        elif hit.finding.label and hit.finding.place != cause.finding.place:
            cause.folded.append(Related(hit.finding.place, hit.finding.label))
    return kept


def report(hit: Hit, world: World, occurrence: int, suppressed_by: str = "") -> Reported:
    """The finding as reports show it."""
    finding, obj, container = hit.finding, hit.object, hit.container
    # a setting may stand elsewhere: in a ConfigMap, which has a file and a document of its own
    here = obj is not None and finding.place.source is obj.file.source
    path = format_route(route_of(obj.node, finding.place)) if obj is not None and here else ""
    document = _document_of(hit.facts.file, finding.place, world)
    spot = Spot.of(finding.place)
    related = tuple((Spot.of(one.place), one.label) for one in (*finding.related, *hit.folded))
    edits = (
        tuple((Spot.of(edit.place), edit.text) for edit in finding.fix.edits)
        if finding.fix is not None
        else ()
    )
    ref = ObjectRef(obj.api_version, obj.kind, obj.namespace, obj.name) if obj is not None else None
    return Reported(
        rule=hit.rule.id,
        name=hit.rule.name,
        severity=hit.severity,
        confidence=finding.confidence,
        finding=finding,
        spot=spot,
        document=document,
        path=path,
        object=ref,
        container=container.name if container is not None else None,
        environment=world.environment_of(hit.facts.file.path),
        fingerprint=_fingerprint(hit, occurrence),
        url=hit.rule.url,
        related=related,
        edits=edits,
        suppressed_by=suppressed_by,
    )


def _document_of(file: SourceFile, place: Place, world: World) -> int:
    """The number of the document that holds a place, mostly in `file`; 0 where its file is not linted."""
    if place.source is file.source:
        return file.document_at(place.start)
    others = (facts.file for facts in world.files if facts.file.source is place.source)
    return next((other.document_at(place.start) for other in others), 0)


def fingerprint_key(hit: Hit) -> tuple[str, ...]:
    """What a finding is about, without line numbers: stays the same when text above it changes."""
    obj, container = hit.object, hit.container
    identity = (obj.kind, obj.namespace, obj.name) if obj is not None else ("", "", "")
    return (
        hit.rule.id,
        hit.facts.file.path,
        *identity,
        container.name if container is not None else "",
        hit.finding.place.text,
    )


def _fingerprint(hit: Hit, occurrence: int) -> str:
    text = "\0".join((*fingerprint_key(hit), str(occurrence)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
