"""Running rules: containment, one finding for one cause, order, and where a finding is said to be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lint_samples import MANIFEST, THREE, about, lint, names, rule, rules, shown

from vllmlint.finding import Finding
from vllmlint.rulebook import all_rules


def raises(_subject: Any, _world: Any) -> Iterator[Finding]:
    """A check that fails."""
    raise KeyError("gone")
    yield


@pytest.mark.parametrize(
    ("subject", "title", "under"),
    [
        ("source_file", "m.yaml", "a"),
        ("object", "Deployment/llama", "llama"),
        ("workload", "Deployment/llama", "llama"),
        ("server", "Deployment/llama container 'vllm'", "vllm"),
    ],
)
def test_a_rule_that_raises_is_one_finding_and_the_rest_is_there(
    tmp_path: Path, subject: str, title: str, under: str
) -> None:
    with rules((rule("bad", subject=subject), raises)):
        result = lint(tmp_path, select=[*THREE, "bad"])
    assert sorted(names(result.findings)) == sorted([*THREE, "rule-failed"])
    (failed,) = [one for one in result.findings if one.name == "rule-failed"]
    assert f"rule bad failed on {title}" in failed.finding.message
    assert "KeyError: 'gone'" in failed.finding.message
    assert (failed.spot.place.text, failed.severity) == (under, "error")
    (trace,) = result.internal_errors
    assert 'raise KeyError("gone")' in trace


def test_every_other_subject_of_a_rule_that_raises_is_checked(tmp_path: Path) -> None:
    def check(subject: Any, _world: Any) -> Iterator[Finding]:
        if subject.object.name == "llama":
            raise ValueError("not this one")
        yield Finding(subject.anchor, "found")

    text = MANIFEST + "---\n" + MANIFEST.replace("llama", "other")
    with rules((rule("half"), check)):
        result = lint(tmp_path, text, select=["half"])
    assert [(one.name, one.document) for one in result.findings] == [("rule-failed", 0), ("half", 1)]


def test_a_rule_whose_function_is_missing_is_contained(tmp_path: Path) -> None:
    from vllmlint.lint import engine

    missing = rule("missing", check="made.missing")
    with rules((missing, lambda subject, world: engine._function("made.missing")(subject, world))):
        result = lint(tmp_path, select=["missing", "privileged"])
    assert sorted(names(result.findings)) == ["privileged", "rule-failed"]


def test_severity_comes_from_the_finding_unless_the_contract_changes_it(tmp_path: Path) -> None:
    made = rule("made", severity="error")
    contract = "rules: {severity: {privileged: info}}\n"
    with rules((made, about("llama", severity="info"))):
        assert [one.severity for one in lint(tmp_path, select=["made"]).findings] == ["info"]
    result = lint(tmp_path, contract=contract, select=["privileged"])
    assert [one.severity for one in result.findings] == ["info"]


@pytest.mark.parametrize("subject", ["server", "workload", "object"])
def test_a_consequence_folds_under_its_cause(tmp_path: Path, subject: str) -> None:
    cause = rule("cause", subject=subject)
    effect = rule("effect", follows=("cause",))
    with rules((cause, about("latest")), (effect, about("privileged", label="and so this"))):
        result = lint(tmp_path, select=["cause", "effect"])
        alone = lint(tmp_path, select=["effect"])
    # what is about the whole object is a cause for each of its containers
    assert names(result.findings) == ["cause"]
    assert [(spot.place.text, label) for spot, label in result.findings[0].related] == [
        ("privileged", "and so this")
    ]
    assert names(alone.findings) == ["effect"]


def test_a_consequence_for_another_container_stays(tmp_path: Path) -> None:
    def first_only(subject: Any, _world: Any) -> Iterator[Finding]:
        if subject.container.name == "vllm":
            yield Finding(subject.anchor, "cause")

    def every(subject: Any, _world: Any) -> Iterator[Finding]:
        yield Finding(subject.anchor, "effect")

    second = "        - {name: second, image: i, command: [vllm, serve, m]}\n"
    with rules((rule("cause"), first_only), (rule("effect", follows=("cause",)), every)):
        result = lint(tmp_path, MANIFEST + second, select=["cause", "effect"])
    assert shown(result.findings) == [("cause", "vllm"), ("effect", "second")]


def test_no_rule_follows_itself_over_others() -> None:
    follows = {one.name: set(one.follows) for one in all_rules()}
    assert {cause for causes in follows.values() for cause in causes} <= set(follows)
    reached = {name: set(causes) for name, causes in follows.items()}
    for _ in follows:
        reached = {name: causes.union(*(reached[one] for one in causes)) for name, causes in reached.items()}
    assert [name for name, causes in reached.items() if name in causes] == []


def test_what_an_alias_repeats_is_found_once(tmp_path: Path) -> None:
    text = """\
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Pod
    metadata: {name: one}
    spec: &spec
      containers:
        - {name: vllm, image: "vllm/vllm-openai:latest"}
  - {apiVersion: v1, kind: Pod, metadata: {name: two}, spec: *spec}
"""
    result = lint(tmp_path, text, select=["image-tag-floating"])
    assert shown(result.findings) == [("image-tag-floating", "latest")]
    assert result.findings[0].path == "spec.containers[0].image"
    assert (result.servers, result.objects) == (2, 2)


def test_findings_are_in_order_of_file_place_and_rule(tmp_path: Path) -> None:
    files = {"b.yaml": MANIFEST, "a/z.yaml": MANIFEST, "a.yaml": MANIFEST + "---\n" + MANIFEST}
    with rules((rule("on-image"), about("latest")), (rule("late", id="VL999"), about("latest"))):
        result = lint(tmp_path, files, select=[*THREE, "on-image", "late"])
    order = [(one.spot.file, one.spot.place.start, one.rule) for one in result.findings]
    assert order == sorted(order, key=lambda key: (["a.yaml", "a/z.yaml", "b.yaml"].index(key[0]), *key[1:]))
    assert len(order) == 4 * len(THREE) + 2 * 3


def test_where_a_finding_is(tmp_path: Path) -> None:
    (found,) = lint(tmp_path, "# first\n---\na: 1\n---\n" + MANIFEST, select=["image-tag-floating"]).findings
    assert (found.spot.file, found.document) == ("m.yaml", 1)
    assert (found.spot.start.line, found.spot.start.column) == (16, 35)
    assert found.path == "spec.template.spec.containers[0].image"
    assert found.container == "vllm"
    assert found.object is not None
    assert (found.object.api_version, found.object.kind, found.object.name) == (
        "apps/v1",
        "Deployment",
        "llama",
    )
    assert found.environment is None
    assert found.url.endswith("image-tag-floating")


def test_the_document_of_one_that_does_not_parse(tmp_path: Path) -> None:
    result = lint(tmp_path, f"{MANIFEST}---\na: [\n---\na: [[[\n", select=["privileged"])
    assert [(one.name, one.document, one.path) for one in result.findings] == [
        ("privileged", 0, "spec.template.spec.containers[0].securityContext.privileged"),
        ("document-unparsable", 1, ""),
        ("document-unparsable", 2, ""),
    ]


@pytest.mark.parametrize("split", [False, True])
def test_a_setting_in_a_config_map_stands_in_its_own_document(tmp_path: Path, split: bool) -> None:
    config_map = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data:
  vllm.yaml: |
    model: org/m
    tensor-paralel-size: 2
"""
    deployment = """\
apiVersion: v1
kind: Pod
metadata: {name: pod}
spec:
  containers:
    - name: vllm
      image: vllm/vllm-openai:v0.33.0
      args: [--config, /etc/vllm/vllm.yaml]
      volumeMounts: [{name: c, mountPath: /etc/vllm}]
  volumes: [{name: c, configMap: {name: conf}}]
"""
    files = {"a.yaml": deployment, "b.yaml": "x: 1\n---\n" + config_map}
    if not split:
        files = {"a.yaml": f"{deployment}---\nx: 1\n---\n{config_map}"}
    result = lint(tmp_path, files, select=["unknown-or-removed-flag"])
    (found,) = result.findings
    assert found.spot.place.text == "tensor-paralel-size"
    assert (found.spot.file, found.document) == (("b.yaml", 1) if split else ("a.yaml", 2))
    assert found.path == ""
    assert found.object is not None
    assert found.object.name == "pod"


def test_fingerprints_stay_when_text_above_changes_and_tell_twins_apart(tmp_path: Path) -> None:
    twins = MANIFEST + "---\n" + MANIFEST
    first = [one.fingerprint for one in lint(tmp_path, twins).findings]
    again = [one.fingerprint for one in lint(tmp_path, f"# more\n\n{twins}").findings]
    assert first == again
    assert len(set(first)) == len(first) == 2 * len(THREE)


def test_the_confidence_that_is_shown(tmp_path: Path) -> None:
    made = [(rule(level), about("latest", confidence=level)) for level in ("low", "medium", "high")]
    with rules(*made):
        for minimum, count in (("low", 3), ("medium", 2), ("high", 1), (None, 3)):
            result = lint(tmp_path, select=["made"], min_confidence=minimum)
            assert len(result.findings) == count
        contract = "minConfidence: high\n"
        assert names(lint(tmp_path, contract=contract, select=["made"]).findings) == ["high"]
        assert len(lint(tmp_path, contract=contract, select=["made"], min_confidence="low").findings) == 3


def test_a_simulator_is_not_judged(tmp_path: Path) -> None:
    text = MANIFEST.replace("vllm/vllm-openai:latest", "ghcr.io/llm-d/llm-d-inference-sim:latest")
    result = lint(tmp_path, text, select=["image-tag-floating", "unknown-or-removed-flag"])
    assert (result.findings, result.servers) == ([], 1)
