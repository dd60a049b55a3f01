"""The JSON report; its shape is `schemas/report.schema.json`."""

from __future__ import annotations

from typing import Any

from vllmlint.lint.result import LostInput, Reported, RunResult, SkippedDocument, Spot
from vllmlint.manifest.text import Position
from vllmlint.reports.json_lines import array, encode, members
from vllmlint.reports.options import RenderOptions

#: Raised when a key changes its meaning or goes away; new keys may come without it.
SCHEMA_VERSION = "1"


def render_json(result: RunResult, options: RenderOptions) -> str:
    """The JSON report: one line a finding."""
    texts = {
        "schema_version": encode(SCHEMA_VERSION),
        "tool": encode({"name": "vllmlint", "version": options.version}),
        "summary": encode(_summary(result)),
        "findings": array(map(_finding, result.findings), "  "),
    }
    if options.show_suppressed:
        texts["suppressed"] = array(map(_suppressed, result.suppressed), "  ")
    texts["lost_inputs"] = array(map(_lost, result.lost_inputs), "  ")
    texts["skipped"] = array(map(_skip, result.skipped), "  ")
    return members(texts, "") + "\n"


def _summary(result: RunResult) -> dict[str, int]:
    return {
        "files": result.files,
        "objects": result.objects,
        "servers": result.servers,
        "error": result.count("error"),
        "warning": result.count("warning"),
        "info": result.count("info"),
        "suppressed": len(result.suppressed),
        "skipped": len(result.skipped),
    }


def _position(position: Position) -> dict[str, int]:
    line, column, offset = position
    return {"line": line, "column": column, "offset": offset}


def _spot(spot: Spot) -> dict[str, Any]:
    return {"file": spot.file, "start": _position(spot.start), "end": _position(spot.end)}


def _finding(item: Reported) -> dict[str, Any]:
    finding, about = item.finding, item.object
    subject = about and {
        "apiVersion": about.api_version,
        "kind": about.kind,
        "namespace": about.namespace,
        "name": about.name,
    }
    fix = finding.fix and {
        "title": finding.fix.title,
        "safe": finding.fix.safe,
        "edits": [{**_spot(spot), "text": text} for spot, text in item.edits],
    }
    return {
        "rule": item.rule,
        "name": item.name,
        "severity": item.severity,
        "confidence": item.confidence,
        "message": finding.message,
        "help": finding.help,
        "label": finding.label,
        "assumptions": finding.assumptions,
        "file": item.spot.file,
        "document": item.document,
        "start": _position(item.spot.start),
        "end": _position(item.spot.end),
        "path": item.path,
        "object": subject,
        "container": item.container,
        "environment": item.environment,
        "related": [{**_spot(spot), "label": label} for spot, label in item.related],
        "fix": fix,
        "fingerprint": item.fingerprint,
        "url": item.url,
    }


def _suppressed(item: Reported) -> dict[str, Any]:
    return {**_finding(item), "suppressed_by": item.suppressed_by}


def _lost(item: LostInput) -> dict[str, Any]:
    return {
        "file": item.file,
        "line": item.line,
        "object": item.object,
        "container": item.container,
        "input": item.input,
        "effect": item.effect,
    }


def _skip(item: SkippedDocument) -> dict[str, Any]:
    return {"file": item.file, "document": item.document, "line": item.line, "reason": item.reason}
