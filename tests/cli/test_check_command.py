"""`vllmlint check`: exit codes, options, and what goes where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_runs import CLEAN, FOUNDING, MOVING, call

from vllmlint.finding import Finding
from vllmlint.lint import engine

TAG = ("--select", "image-tag-floating")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with a clean manifest, a guilty one, and one that only lacks a digest."""
    (tmp_path / "pinned.yaml").write_text(MOVING.replace("latest", "v0.33.0"))
    (tmp_path / "clean.yaml").write_text(CLEAN)
    (tmp_path / "moving.yaml").write_text(MOVING)
    return tmp_path


def found(text: str) -> list[str]:
    """The rules of a JSON report."""
    return [row["name"] for row in json.loads(text)["findings"]]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["clean.yaml"], 0),
        (["moving.yaml", *TAG], 1),
        ([".", *TAG], 1),
        (["moving.yaml", "clean.yaml", *TAG], 1),
        (["moving.yaml", *TAG, "--exit-zero"], 0),
        (["moving.yaml", *TAG, "--fail-on", "never"], 0),
        (["pinned.yaml", "--select", "image-not-digest-pinned"], 0),
        (["pinned.yaml", "--select", "image-not-digest-pinned", "--fail-on", "info"], 1),
        (["moving.yaml", "--select", "max-model-len-unset", "--fail-on", "warning"], 1),
        (["moving.yaml", "--select", "max-model-len-unset", "--fail-on", "error"], 0),
        (["missing.yaml"], 2),
        (["clean.yaml", "missing/"], 2),
        ([], 2),
        (["--no-such-option"], 2),
        (["clean.yaml", "--fail-on", "loud"], 2),
        (["clean.yaml", "--min-confidence", "sure"], 2),
        (["clean.yaml", "--format", "xml"], 2),
        (["clean.yaml", "--report", "sarif"], 2),
        (["clean.yaml", "--report", "sarif="], 2),
        (["clean.yaml", "--report", "xml=x"], 2),
        (["clean.yaml", "--report", "json=no/such/dir/x"], 2),
        (["clean.yaml", "--jobs", "-1"], 2),
        (["clean.yaml", "--select", "image-tag-floting"], 2),
        (["clean.yaml", "--ignore", "nothing-at-all"], 2),
        (["clean.yaml", "--select", ""], 2),
        (["clean.yaml", "--select", " , "], 2),
        (["clean.yaml", "--contract", "missing.yaml"], 2),
    ],
)
def test_exit_codes(project: Path, arguments: list[str], code: int) -> None:
    done = call(project, "check", *arguments)
    assert done.code == code
    assert ("Traceback" in done.err) is False
    assert bool(done.err) is (code == 2)
    assert not (code == 2 and done.out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--select", "image-tag-floting"], "did you mean 'image-tag-floating'?"),
        (["--ignore", "pining"], "did you mean 'pinning'?"),
        (["--select", "zzz"], "`vllmlint rules` lists them"),
        (["--fail-on", "loud"], "error"),
        (["--format", "xml"], "choose one of"),
        (["--report", "sarif"], "sarif=out.sarif"),
        (["missing.yaml"], "no such file or directory: missing.yaml"),
    ],
)
def test_what_is_said_of_a_wrong_call(project: Path, arguments: list[str], words: str) -> None:
    assert words in call(project, "check", "clean.yaml", *arguments).err


def test_a_wrong_contract_is_shown_with_its_place(project: Path) -> None:
    (project / "vllmlint.yaml").write_text("failOn: error\nrulez: {}\n")
    for arguments in (["check", "clean.yaml"], ["check", ".", "--jobs", "2"], ["inspect", "clean.yaml"]):
        done = call(project, *arguments)
        assert done.code == 2
        assert "vllmlint.yaml:2:1: " in done.err
        assert "rules" in done.err


def test_a_contract_for_all_paths(project: Path) -> None:
    (project / "other.yml.contract").write_text("failOn: info\n")
    arguments = ("check", "pinned.yaml", "--select", "image-not-digest-pinned")
    assert call(project, *arguments).code == 0
    assert call(project, *arguments, "--contract", "other.yml.contract").code == 1


def test_the_contract_says_what_fails(project: Path) -> None:
    (project / "vllmlint.yaml").write_text("failOn: warning\n")
    arguments = ("check", "moving.yaml", "--select", "max-model-len-unset")
    assert call(project, *arguments).code == 1
    assert call(project, *arguments, "--fail-on", "error").code == 0


@pytest.mark.parametrize(
    ("confidence", "arguments", "code", "count"),
    [
        ("high", [], 1, 1),
        ("medium", [], 1, 1),
        ("low", [], 0, 1),
        ("low", ["--strict"], 1, 1),
        ("low", ["--min-confidence", "medium"], 0, 0),
        ("low", ["--min-confidence", "medium", "--strict"], 0, 0),
        ("medium", ["--min-confidence", "high"], 0, 0),
        ("low", ["--min-confidence", "low"], 0, 1),
    ],
)
def test_confidence(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    confidence: Any,
    arguments: list[str],
    code: int,
    count: int,
) -> None:
    def check(server: Any, _world: Any) -> Iterator[Finding]:
        yield Finding(server.anchor, "found", confidence=confidence)

    known = engine.check_function
    monkeypatch.setattr(engine, "check_function", lambda rule: check if rule.name == TAG[1] else known(rule))
    done = call(project, "check", "moving.yaml", *TAG, "--format", "json", *arguments)
    assert (done.code, len(found(done.out))) == (code, count)


def test_a_rule_that_raises_is_exit_3_and_the_rest_is_shown(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = engine.check_function

    def function_of(rule: Any) -> Any:
        def fails(_subject: Any, _world: Any) -> Iterator[Finding]:
            raise ZeroDivisionError("by zero")

        return fails if rule.name == "max-model-len-unset" else known(rule)

    monkeypatch.setattr(engine, "check_function", function_of)
    arguments = ("check", "moving.yaml", "--select", "image-tag-floating,max-model-len-unset")
    done = call(project, *arguments, "--format", "json", "--exit-zero")
    assert done.code == 3
    assert sorted(found(done.out)) == ["image-tag-floating", "rule-failed"]
    assert "-v shows the traceback" in done.err
    assert "ZeroDivisionError: by zero" in call(project, *arguments, "-v").out


def test_an_unparsable_document_fails_the_run(project: Path) -> None:
    (project / "broken.yaml").write_text("a: [\n")
    assert call(project, "check", "broken.yaml", *TAG).code == 1


def test_standard_input(project: Path) -> None:
    done = call(project, "check", "-", *TAG, "--format", "json", stdin=MOVING)
    assert (done.code, [row["file"] for row in json.loads(done.out)["findings"]]) == (1, ["-"])
    (project / "prod").mkdir()
    (project / "prod" / "vllmlint.yaml").write_text("rules: {ignore: [pinning]}\n")
    named = call(
        project, "check", "-", *TAG, "--stdin-filename", "prod/x.yaml", "--format", "json", stdin=MOVING
    )
    assert (named.code, found(named.out)) == (0, [])
    elsewhere = call(
        project, "check", "-", "--stdin-filename", "x.yaml", *TAG, stdin=b"\xef\xbb\xbf" + MOVING.encode()
    )
    assert elsewhere.code == 1
    assert "x.yaml:6:45" in elsewhere.out


def test_standard_input_beside_files(project: Path) -> None:
    done = call(project, "check", "clean.yaml", "-", *TAG, "--format", "json", stdin=MOVING)
    assert json.loads(done.out)["summary"]["files"] == 2


def test_empty_standard_input(project: Path) -> None:
    assert call(project, "check", "-", stdin="").code == 0


def test_several_reports_at_once(project: Path) -> None:
    reports = [f"--report={fmt}=out.{fmt}" for fmt in ("sarif", "json", "text", "github")]
    done = call(project, "check", "moving.yaml", *TAG, "--format", "github", *reports)
    assert done.code == 1
    assert done.out.startswith("::error file=moving.yaml")
    written = {
        fmt: (project / f"out.{fmt}").read_text("utf-8") for fmt in ("sarif", "json", "text", "github")
    }
    assert written["github"] == done.out
    assert json.loads(written["sarif"])["version"] == "2.1.0"
    assert found(written["json"]) == ["image-tag-floating"]
    assert "\x1b[" not in written["text"]
    assert "image-tag-floating" in written["text"]


def test_selecting_and_ignoring(project: Path) -> None:
    many = call(project, "check", "moving.yaml", "--format", "json")
    assert len(set(found(many.out))) > 3
    arguments = (
        "--select",
        "pinning,max-model-len-unset",
        "--select",
        "gpu",
        "--ignore",
        "image-tag-floating",
    )
    some = call(project, "check", "moving.yaml", "--format", "json", *arguments)
    assert "image-tag-floating" not in found(some.out)
    assert {"max-model-len-unset", "gpu-not-requested"} <= set(found(some.out))
    assert set(found(some.out)) < set(found(many.out))


def test_statistics(project: Path) -> None:
    done = call(project, "check", ".", "--select", "image-tag-floating,max-model-len-unset", "--statistics")
    assert done.code == 1
    assert "image-tag-floating" in done.out
    assert "moving.yaml:6:" not in done.out


def test_suppressed_findings(project: Path) -> None:
    text = MOVING.replace("[org/model]}", "[org/model]}  # vllmlint: ignore[image-tag-floating] a test")
    (project / "moving.yaml").write_text(text)
    quiet = call(project, "check", "moving.yaml", *TAG)
    assert quiet.code == 0
    assert "a test" not in quiet.out
    assert "a test" in call(project, "check", "moving.yaml", *TAG, "--show-suppressed").out
    loud = call(project, "check", "moving.yaml", *TAG, "--no-ignores")
    assert loud.code == 1


def test_a_directory_is_walked(project: Path) -> None:
    for name, text in {
        "deep/er/m.yml": MOVING,
        "deep/m.json": json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}),
        "deep/package.json": "{}",
        "deep/notes.txt": MOVING,
        "deep/vllmlint.yaml": "failOn: error\n",
        "deep/.pre-commit-config.yaml": "repos: []\n",
        ".git/hooks.yaml": MOVING,
        "node_modules/x.yaml": MOVING,
        ".github/workflows/ci.yaml": "on: push\n",
    }.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    done = call(project, "check", ".", *TAG, "--format", "json")
    report = json.loads(done.out)
    assert [row["file"] for row in report["findings"]] == ["deep/er/m.yml", "moving.yaml"]
    assert report["summary"]["files"] == 6
    assert [row["file"] for row in report["skipped"]] == [".github/workflows/ci.yaml"]


def test_a_file_is_read_once_however_often_it_is_named(project: Path) -> None:
    done = call(project, "check", "moving.yaml", "./moving.yaml", ".", *TAG, "--format", "json")
    assert found(done.out) == ["image-tag-floating"]


def test_a_named_file_needs_no_suffix(project: Path) -> None:
    (project / "manifest.tpl").write_text(MOVING)
    assert call(project, "check", "manifest.tpl", *TAG).code == 1


def test_a_file_that_cannot_be_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    done = call(project, "check", "clean.yaml")
    assert done.code == 2
    assert "cannot read clean.yaml: Permission denied" in done.err


def test_a_directory_that_cannot_be_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "locked").mkdir()
    scan = os.scandir

    def refuse(path: Any = ".") -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    done = call(project, "check", ".")
    assert done.code == 2
    assert "locked: Permission denied" in done.err


def test_siblings_are_seen_but_not_linted(project: Path) -> None:
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: vllm}\n"
        "spec: {selector: {app: a}, ports: [{port: 80, targetPort: 8000}]}\n"
    )
    pod = MOVING.replace("{name: llama}", "{name: llama, labels: {app: a}}")
    (project / "service.yaml").write_text(service)
    (project / "pod.yaml").write_text(pod)
    arguments = ("check", "pod.yaml", "--select", "service-name-collides-with-vllm-env", "--format", "json")
    assert found(call(project, *arguments).out) == []
    done = call(project, *arguments, "--siblings")
    assert found(done.out) == ["service-name-collides-with-vllm-env"]
    assert json.loads(done.out)["summary"]["files"] == 1


def test_the_founding_manifest(tmp_path: Path) -> None:
    text = (FOUNDING / "deployment.yaml").read_text("utf-8")
    done = call(tmp_path, "check", "-", "--format", "json", stdin=text)
    assert done.code == 1
    assert {
        "image-tag-floating",
        "model-revision-unpinned",
        "readiness-missing",
        "model-cache-not-persistent",
    } <= set(found(done.out))
    (tag,) = [row for row in json.loads(done.out)["findings"] if row["name"] == "image-tag-floating"]
    data = text.encode()
    assert data[tag["start"]["offset"] : tag["end"]["offset"]] == b"stable"


def test_its_right_twin_is_clean(tmp_path: Path) -> None:
    for path in (FOUNDING / "right").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    done = call(tmp_path, "check", ".", "--format", "json", "--fail-on", "info", "--strict")
    assert (done.code, found(done.out)) == (0, [])


def test_an_unexpected_error_is_exit_3(project: Path) -> None:
    code = (
        "import vllmlint.cli.check as c\n"
        "def fails(*_a): raise RuntimeError('boom')\n"
        "c.run_check = fails\n"
        "from vllmlint.__main__ import main; main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "check", "clean.yaml"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "RuntimeError: boom" in done.stderr


def test_real_nodes_decide_which_gpu_a_finding_is_for(tmp_path: Path) -> None:
    node = """\
apiVersion: v1
kind: Node
metadata:
  name: gpu-1
  labels: {accelerator.platform.example.com/type: nvidia-a100, nvidia.com/gpu.product: Tesla-T4}
status: {allocatable: {nvidia.com/gpu: "1", cpu: "16", memory: 64Gi, pods: "110"}}
"""
    (tmp_path / "nodes.yaml").write_text(node, "utf-8")
    manifest = str(FOUNDING / "deployment.yaml")
    done = call(tmp_path, "check", "--format", "json", "--nodes", "nodes.yaml", manifest)
    found = {one["name"]: one["message"] for one in json.loads(done.out)["findings"]}
    assert "on nvidia-t4" in found["weights-exceed-gpu-memory"]
    assert "nvidia-t4" not in call(tmp_path, "check", "--format", "json", manifest).out
    missing = call(tmp_path, "check", "--nodes", "nowhere.yaml", manifest)
    assert missing.code == 2
    assert "cannot read" in missing.err
