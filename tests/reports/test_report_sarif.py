"""The SARIF report, against the schema that OASIS publishes for version 2.1.0.

The stored copy is the draft-07 form of `Schemata/sarif-schema-2.1.0.json` in oasis-tcs/sarif-spec,
as the crate serde-sarif 0.8.0 carries it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, FormatChecker
from report_samples import check_snapshot, full_run, place, reported

from vllmlint.lint.result import RunResult, SkippedDocument
from vllmlint.manifest.text import SourceText
from vllmlint.reports import RenderOptions, render, sarif
from vllmlint.rulebook import Rule, RuleDocs

SCHEMA = Path(__file__).parents[1] / "data" / "sarif-schema-2.1.0.json"
RULE = Rule(
    id="VL101",
    name="image-tag-floating",
    section="pinning",
    severity="error",
    since="0.1.0",
    subject="server",
    summary="The vLLM image can change under the same manifest.",
    check="pinning.image_tag_floating",
)
DOCS = RuleDocs("A tag moves.\n", "Name a release.\n", ("vllm-project/vllm#21979",), ())


@pytest.fixture(autouse=True)
def _one_known_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "find_rule", lambda key: RULE if key == "VL101" else None)
    monkeypatch.setattr(sarif, "rule_docs", lambda rule: DOCS)


def run_of(result: RunResult, **options: bool) -> dict[str, Any]:
    """The single run of the log, which the official schema must accept."""
    log = json.loads(render(result, "sarif", options=RenderOptions(**options)))
    schema = json.loads(SCHEMA.read_text("utf-8"))
    Draft7Validator(schema, format_checker=FormatChecker()).validate(log)
    (run,) = log["runs"]
    assert isinstance(run, dict)
    return run


def test_whole_report() -> None:
    produced = render(full_run(), "sarif", options=RenderOptions(version="0.0.0", show_suppressed=True))
    check_snapshot("sarif.txt", produced)


def test_rules_that_occur() -> None:
    driver = run_of(full_run())["tool"]["driver"]
    assert [rule["id"] for rule in driver["rules"]] == ["VL101", "VL201", "VL210"]
    known, unknown, _ = driver["rules"]
    assert known["name"] == "ImageTagFloating"
    assert known["help"]["text"] == "A tag moves.\n\nWhat to write instead: Name a release."
    assert "- vllm-project/vllm#21979" in known["help"]["markdown"]
    assert known["properties"]["tags"] == ["kubernetes", "vllm", "pinning"]
    assert known["helpUri"] == "https://vllmlint.dev/rules/image-tag-floating"
    # a rule from elsewhere is described by its finding
    assert unknown["shortDescription"] == {"text": "tensor-parallel-exceeds-gpus"}


def test_results() -> None:
    first, second, third = run_of(full_run())["results"]
    assert [item["level"] for item in (first, second, third)] == ["error", "error", "note"]
    assert [item["ruleIndex"] for item in (first, second, third)] == [0, 1, 2]
    physical = first["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"] == {"uri": "apps/deployment.yaml"}
    assert physical["region"] == {
        "startLine": 12,
        "startColumn": 47,
        "endLine": 12,
        "endColumn": 53,
        "byteOffset": 217,
        "byteLength": 6,
        "snippet": {"text": "stable"},
    }
    logical = first["locations"][0]["logicalLocations"][0]
    assert logical["fullyQualifiedName"] == "ai/Deployment/llama:spec.template.spec.containers[0].image"
    assert first["partialFingerprints"] == {"vllmlint/v1": "0f1e2d3c"}
    replacement = first["fixes"][0]["artifactChanges"][0]["replacements"][0]
    assert replacement["insertedContent"] == {"text": "v0.33.0"}
    assert replacement["deletedRegion"]["byteLength"] == 6
    assert [place["id"] for place in second["relatedLocations"]] == [1, 2, 3, 4, 5]
    assert second["properties"]["assumptions"] == ["the image is the official one", "one server a pod"]


def test_suppressed_only_on_request() -> None:
    assert len(run_of(full_run())["results"]) == 3
    silenced = run_of(full_run(), show_suppressed=True)["results"][3]
    assert silenced["suppressions"] == [
        {"kind": "inSource", "justification": "comment on line 12: known"},
    ]


def test_invocation() -> None:
    (invocation,) = run_of(full_run())["invocations"]
    assert invocation["executionSuccessful"] is True
    texts = [item["message"]["text"] for item in invocation["toolExecutionNotifications"]]
    assert "document skipped: Helm template" in texts
    assert "file skipped: larger than 50 MB" in texts
    assert "node pool: placement is not judged" in texts
    failed = RunResult(internal_errors=["boom"], skipped=[SkippedDocument("a.yaml", None, 0, "gone")])
    assert run_of(failed)["invocations"][0]["executionSuccessful"] is False


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("a/b.yaml", "a/b.yaml"),
        ("./a.yaml", "a.yaml"),
        ("../a b#%.yaml", "../a%20b%23%25.yaml"),
        ("日本.yaml", "%E6%97%A5%E6%9C%AC.yaml"),
        ("caf\udce9.yaml", "caf%E9.yaml"),
        ("/srv/a.yaml", "file:///srv/a.yaml"),
        ("C:/srv/a.yaml", "file:///C:/srv/a.yaml"),
        ("a:b.yaml", "a%3Ab.yaml"),
    ],
)
def test_uris(path: str, uri: str) -> None:
    run = run_of(RunResult(findings=[reported(place(SourceText(path, "a: b"), "b"))]))
    location = run["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"] == {"uri": uri}
