"""The SARIF 2.1.0 report, as code scanning services read it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from vllmlint.finding import Severity
from vllmlint.lint.result import Reported, RunResult, SkippedDocument, Spot
from vllmlint.reports.json_lines import array, encode, members
from vllmlint.reports.options import RenderOptions
from vllmlint.rulebook import find_rule, rule_docs

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_HOME = "https://vllmlint.dev/"
_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}
#: What is silenced in the manifest itself is `inSource`; a contract, a baseline and options are not.
_IN_SOURCE = ("comment", "annotation")


def render_sarif(result: RunResult, options: RenderOptions) -> str:
    """The SARIF log: one line a result.

    Suppressed findings are left out unless asked for, because services that do not know
    `suppressions` would show them as open.
    """
    shown = [*result.findings, *(result.suppressed if options.show_suppressed else ())]
    indexes: dict[str, int] = {}
    descriptors = []
    for item in shown:
        if item.rule not in indexes:
            indexes[item.rule] = len(indexes)
            descriptors.append(_descriptor(item))
    driver = {
        "name": encode("vllmlint"),
        "version": encode(options.version),
        "informationUri": encode(_HOME),
        "rules": array(descriptors, " " * 10),
    }
    run = {
        "tool": members({"driver": members(driver, " " * 8)}, " " * 6),
        "columnKind": encode("unicodeCodePoints"),
        "invocations": array([_invocation(result)], " " * 6),
        "results": array((_result(item, indexes[item.rule]) for item in shown), " " * 6),
    }
    log = {
        "$schema": encode(_SCHEMA),
        "version": encode("2.1.0"),
        "runs": f"[\n    {members(run, ' ' * 4)}\n  ]",
    }
    return members(log, "") + "\n"


def _descriptor(item: Reported) -> dict[str, Any]:
    """What SARIF wants to know of a rule; of one outside the index only what the finding tells."""
    descriptor: dict[str, Any] = {
        "id": item.rule,
        "name": "".join(part.capitalize() for part in item.name.split("-")),
        "helpUri": item.url,
    }
    if not item.url:
        del descriptor["helpUri"]
    rule = find_rule(item.rule)
    if rule is None:
        return {
            **descriptor,
            "shortDescription": {"text": item.name},
            "defaultConfiguration": {"level": _LEVELS[item.severity]},
        }
    docs = rule_docs(rule)
    why, fix = docs.why.strip(), docs.fix.strip()
    markdown = f"{why}\n\n## What to write instead\n\n{fix}"
    if docs.evidence:
        markdown += "\n\n## Evidence\n\n" + "\n".join(f"- {source}" for source in docs.evidence)
    return {
        **descriptor,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": why},
        "help": {"text": f"{why}\n\nWhat to write instead: {fix}", "markdown": markdown},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {
            "section": rule.section,
            "since": rule.since,
            "tags": ["kubernetes", "vllm", rule.section],
        },
    }


def _result(item: Reported, index: int) -> dict[str, Any]:
    finding = item.finding
    text = f"{finding.message}\n{finding.help}" if finding.help else finding.message
    location: dict[str, Any] = {"physicalLocation": _physical(item.spot)}
    if logical := _logical(item):
        location["logicalLocations"] = [logical]
    properties: dict[str, Any] = {"confidence": item.confidence, "document": item.document}
    if finding.assumptions:
        properties["assumptions"] = list(finding.assumptions)
    if item.environment:
        properties["environment"] = item.environment
    result: dict[str, Any] = {
        "ruleId": item.rule,
        "ruleIndex": index,
        "level": _LEVELS[item.severity],
        "message": {"text": text},
        "locations": [location],
    }
    if item.related:
        result["relatedLocations"] = [
            {"id": number, "physicalLocation": _physical(spot), "message": {"text": label}}
            for number, (spot, label) in enumerate(item.related, 1)
        ]
    if finding.fix is not None and item.edits:
        result["fixes"] = [_fix(finding.fix.title, item.edits)]
    if item.suppressed_by:
        inside = any(word in item.suppressed_by for word in _IN_SOURCE)
        result["suppressions"] = [
            {"kind": "inSource" if inside else "external", "justification": item.suppressed_by}
        ]
    result["partialFingerprints"] = {"vllmlint/v1": item.fingerprint}
    result["properties"] = properties
    return result


def _artifact(path: str) -> dict[str, str]:
    """The URI of a file: relative as the user named it, or `file:` for an absolute path."""
    # a name that is not UTF-8 holds its bytes as surrogates
    uri = quote(path, errors="surrogateescape")
    if drive := re.match(r"([A-Za-z])%3A/", uri):
        uri = f"file:///{drive[1]}:/{uri[drive.end() :]}"
    elif uri.startswith("/"):
        uri = "file://" + uri
    return {"uri": uri.removeprefix("./")}


def _region(spot: Spot) -> dict[str, Any]:
    start, end = spot.start, spot.end
    return {
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
        "byteOffset": start.offset,
        "byteLength": end.offset - start.offset,
    }


def _physical(spot: Spot) -> dict[str, Any]:
    region = {**_region(spot), "snippet": {"text": spot.place.text}}
    return {"artifactLocation": _artifact(spot.file), "region": region}


def _logical(item: Reported) -> dict[str, Any] | None:
    """The object and the route in it."""
    about = item.object
    if about is None:
        return None
    named = "/".join(part for part in (about.namespace, about.kind, about.name) if part)
    properties = {
        "apiVersion": about.api_version,
        "kind": about.kind,
        "namespace": about.namespace,
        "name": about.name,
        "path": item.path,
    }
    if item.container:
        properties["container"] = item.container
    return {
        "name": item.path or about.name,
        "kind": "resource",
        "fullyQualifiedName": f"{named}:{item.path}" if item.path else named,
        "properties": properties,
    }


def _fix(title: str, edits: Iterable[tuple[Spot, str]]) -> dict[str, Any]:
    replacements: dict[str, list[dict[str, Any]]] = {}
    for spot, text in edits:
        replacement = {"deletedRegion": _region(spot), "insertedContent": {"text": text}}
        replacements.setdefault(spot.file, []).append(replacement)
    changes = [
        {"artifactLocation": _artifact(file), "replacements": listed} for file, listed in replacements.items()
    ]
    return {"description": {"text": title}, "artifactChanges": changes}


def _invocation(result: RunResult) -> dict[str, Any]:
    """How the run went: what was skipped, what could not be judged, which rules raised."""
    notifications = [
        *map(_skipped, result.skipped),
        *(
            _notification("note", f"{item.input}: {item.effect}", item.file, item.line)
            for item in result.lost_inputs
        ),
        *({"level": "error", "message": {"text": text}} for text in result.internal_errors),
    ]
    return {
        "executionSuccessful": not result.internal_errors,
        "toolExecutionNotifications": notifications,
    }


def _skipped(item: SkippedDocument) -> dict[str, Any]:
    what = "file" if item.document is None else "document"
    return _notification("note", f"{what} skipped: {item.reason}", item.file, item.line)


def _notification(level: str, text: str, file: str, line: int) -> dict[str, Any]:
    physical = {"artifactLocation": _artifact(file), "region": {"startLine": max(1, line)}}
    return {"level": level, "message": {"text": text}, "locations": [{"physicalLocation": physical}]}
