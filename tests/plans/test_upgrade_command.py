"""`vllmlint upgrade` as a command: text, JSON and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from upgrade_runs import deployment

from vllmlint.cli.upgrade import render, run, verdict


def _run(path: Path, to: str, fmt: str = "text", source: str | None = None) -> int:
    return run([str(path)], to, source, fmt, all_defaults=False, stdin_filename="-", contract=None)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A server of 0.10.2 with a flag that 0.18.0 removed."""
    path = tmp_path / "m.yaml"
    path.write_text(deployment({"from": "0.10.2", "args": ["--model=org/m", "--swap-space=8"]}), "utf-8")
    return path


def test_exit_code_follows_what_breaks(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1 when something breaks, 0 when there is only something to know."""
    assert _run(manifest, "0.33.0") == 1
    assert "1 change breaks the start; " in capsys.readouterr().out
    assert _run(manifest, "0.11.0") == 0
    assert "nothing further breaks" in capsys.readouterr().out


def test_json_is_the_plan(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--format json` prints the plan alone."""
    assert _run(manifest, "v0.33.0", "json", "0.17.1") == 1
    plan = json.loads(capsys.readouterr().out)
    assert plan["servers"][0]["from"] == "0.17.1"
    assert plan["servers"][0]["to"] == "0.33.0"


@pytest.mark.parametrize(
    ("to", "fmt", "source", "message"),
    [
        ("latest", "text", None, "--to 'latest'"),
        ("0.33.0", "yaml", None, "--format 'yaml'"),
        ("0.33.0", "text", "main", "--from 'main'"),
    ],
)
def test_usage_errors(
    manifest: Path,
    capsys: pytest.CaptureFixture[str],
    to: str,
    fmt: str,
    source: str | None,
    message: str,
) -> None:
    """A wrong option is named, and the exit code is 2."""
    assert _run(manifest, to, fmt, source) == 2
    assert message in capsys.readouterr().err


def test_missing_path_is_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that does not exist is an error of usage."""
    assert _run(tmp_path / "none.yaml", "0.33.0") == 2
    assert "none.yaml" in capsys.readouterr().err


def test_table_is_aligned() -> None:
    """Columns start where their head starts; long texts go on below."""
    change = {
        "kind": "flag",
        "name": "--swap-space",
        "before": "8",
        "after": "refused: removed in 0.18.0 and a reason that is far too long for one line of the table",
        "breaks": True,
        "replacement": "remove it",
        "note": None,
        "message": None,
        "file": "m.yaml",
        "line": 12,
    }
    server = {
        "file": "m.yaml",
        "object": {"kind": "Deployment", "name": "m"},
        "container": "vllm",
        "from": "0.17.1",
        "to": "0.18.0",
        "notes": [],
        "changes": [change],
    }
    lines = render({"servers": [server]}, 120).splitlines()
    assert lines[0] == "Deployment/m container vllm (m.yaml): 0.17.1 -> 0.18.0"
    assert lines[1] == "1 change breaks the start"
    head, first, *_, last = lines[3:]
    assert first[head.index("line") :].startswith("12")
    assert first[head.index("after") :].startswith("refused: removed in")
    assert last.strip().endswith("table")
    assert last.startswith(" " * head.index("after"))
    assert first.rstrip().endswith("remove it")


def test_verdict_counts_what_breaks() -> None:
    """The start, probes and metrics are counted apart."""
    kinds = ["flag", "env", "probe", "metric", "metric", "default"]
    changes = [{"kind": kind, "breaks": kind != "default"} for kind in kinds]
    server = {"from": "0.10.2", "to": "0.33.0", "changes": changes}
    assert verdict(server) == (
        "2 changes break the start, 1 breaks probes, 2 break what reads its metrics; 1 change to know"
    )
    assert verdict({**server, "changes": []}) == "nothing changes for this manifest"
    assert verdict({**server, "to": "0.10.2"}) == "nothing changes: it runs this release already"
