"""The JSON report."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator
from report_samples import check_snapshot, full_run, place, reported

from vllmlint.lint.result import RunResult
from vllmlint.manifest.text import SourceText
from vllmlint.reports import RenderOptions, render
from vllmlint.resources import resource

FINDING_KEYS = [
    *(
        "rule",
        "name",
        "severity",
        "confidence",
        "message",
        "help",
        "label",
        "assumptions",
        "file",
        "document",
    ),
    *("start", "end", "path", "object", "container", "environment", "related", "fix", "fingerprint", "url"),
]


def report(result: RunResult, **options: bool) -> dict[str, Any]:
    """The parsed report, which the published schema must accept."""
    loaded: dict[str, Any] = json.loads(render(result, "json", options=RenderOptions(**options)))
    schema = json.loads(resource("schemas", "report.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(loaded)
    return loaded


def test_shape() -> None:
    loaded = report(full_run())
    assert list(loaded) == ["schema_version", "tool", "summary", "findings", "lost_inputs", "skipped"]
    assert loaded["schema_version"] == "1"
    assert loaded["summary"] == {
        "files": 3,
        "objects": 4,
        "servers": 1,
        "error": 2,
        "warning": 0,
        "info": 1,
        "suppressed": 1,
        "skipped": 3,
    }
    for finding in loaded["findings"]:
        assert list(finding) == FINDING_KEYS
    first, second, _ = loaded["findings"]
    assert first["start"] == {"line": 12, "column": 47, "offset": 217}
    assert first["end"] == {"line": 12, "column": 53, "offset": 223}
    assert first["fix"]["edits"] == [
        {"file": first["file"], "start": first["start"], "end": first["end"], "text": "v0.33.0"}
    ]
    assert second["assumptions"] == ["the image is the official one", "one server a pod"]
    assert [item["file"] for item in second["related"]][-1] == "nodes.yaml"
    assert loaded["skipped"][2] == {
        "file": "huge.yaml",
        "document": None,
        "line": 1,
        "reason": "larger than 50 MB",
    }


def test_whole_report() -> None:
    produced = render(full_run(), "json", options=RenderOptions(version="0.0.0"))
    check_snapshot("report.json.txt", produced)


def test_suppressed_on_request() -> None:
    (item,) = report(full_run(), show_suppressed=True)["suppressed"]
    assert list(item) == [*FINDING_KEYS, "suppressed_by"]
    assert item["suppressed_by"] == "comment on line 12: known"


def test_an_empty_run() -> None:
    loaded = report(RunResult())
    assert loaded["findings"] == loaded["lost_inputs"] == loaded["skipped"] == []


def test_any_text_survives() -> None:
    message = 'quote " backslash \\ newline \n escape \x1b lone \ud800 emoji 🚀 line separator \u2028'
    item = reported(place(SourceText("日本\udcff.yaml", "a: b"), "b"), message)
    produced = render(RunResult(findings=[item]), "json", options=RenderOptions())
    assert produced.isascii()
    loaded = json.loads(produced)["findings"][0]
    assert loaded["message"] == message
    assert loaded["file"] == "日本\udcff.yaml"
