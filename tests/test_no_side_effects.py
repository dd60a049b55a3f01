"""The commands open no socket, start no program and write nothing but what they are asked to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOUNDING = ROOT / "fixtures" / "founding"

#: Runs a command and prints, as the last line of standard error, every event that leaves a trace.
WATCHED = """
import json, os, sys
seen = []
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
LOUD = (
    "socket.", "subprocess.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.",
    "sqlite3.", "syslog.", "pty.",
    "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.mkdir", "os.rename", "os.remove", "os.rmdir",
    "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.utime",
    "os.putenv", "os.unsetenv", "os.kill", "shutil.", "tempfile.",
)

def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, (str, bytes)) and ((mode and set(mode) & set("wax+")) or (flags or 0) & WRITING):
            seen.append(["write", os.fsdecode(path)])
    elif event.startswith(LOUD):
        seen.append([event, repr(arguments)[:200]])

from vllmlint.__main__ import main
sys.addaudithook(watch)
sys.argv = ["vllmlint", *json.loads(os.environ["WATCHED_ARGUMENTS"])]
code = 0
try:
    main()
except SystemExit as left:
    code = left.code or 0
sys.stderr.write("\\n" + json.dumps({"code": code, "seen": seen}))
"""


def watched(cwd: Path, *arguments: str, stdin: bytes = b"") -> tuple[int, list[list[str]]]:
    """Exit code and traces of a command run in `cwd`."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "WATCHED_ARGUMENTS": json.dumps(arguments)}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED],
        cwd=cwd,
        env=environment,
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stderr.splitlines()[-1])
    return report["code"], report["seen"]


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    """A repository with a manifest, a shell script in it, and a contract."""
    (tmp_path / ".git").mkdir()
    text = (FOUNDING / "deployment.yaml").read_text("utf-8")
    (tmp_path / "deployment.yaml").write_text(text, "utf-8")
    script = "          command: [/bin/sh, -c, exec vllm serve m --port 8000]\n          ports:"
    (tmp_path / "script.yaml").write_text(text.replace("          ports:", script), "utf-8")
    (tmp_path / "vllmlint.yaml").write_text("vllm: {release: 0.33.0}\n", "utf-8")
    return tmp_path


@pytest.mark.parametrize("fmt", ["text", "json", "sarif", "github"])
def test_check_leaves_no_trace(manifests: Path, fmt: str) -> None:
    before = sorted(manifests.rglob("*"))
    assert watched(manifests, "check", "--format", fmt, ".") == (1, [])
    assert sorted(manifests.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "--siblings", "--statistics", "deployment.yaml"),
        ("check", "nowhere.yaml"),
        ("inspect", "."),
        ("inspect", "--format", "json", "--defaults", "."),
        ("rules",),
        ("rules", "--format", "json"),
        ("explain", "image-tag-floating"),
        ("schema", "contract"),
        ("init", "-o", "-", "."),
        ("--version",),
        ("--help",),
    ],
)
def test_reading_commands_leave_no_trace(manifests: Path, arguments: tuple[str, ...]) -> None:
    assert watched(manifests, *arguments)[1] == []


def test_standard_input_leaves_no_trace(manifests: Path) -> None:
    data = (FOUNDING / "deployment.yaml").read_bytes()
    assert watched(manifests, "check", "-", "--stdin-filename", "x.yaml", stdin=data) == (1, [])


def test_a_report_is_the_only_file_written(manifests: Path) -> None:
    code, seen = watched(manifests, "check", ".", "--report", "sarif=out.sarif", "--report", "json=out.json")
    assert (code, seen) == (1, [["write", "out.sarif"], ["write", "out.json"]])


def test_init_writes_its_contract_only(manifests: Path) -> None:
    code, seen = watched(manifests, "init", "-o", "new.yaml", ".")
    assert (code, seen) == (0, [["write", "new.yaml"]])
    code, seen = watched(manifests, "init", "-o", "new.yaml", ".")
    assert (code, seen) == (2, [])  # there already


def test_several_processes_open_no_network_socket(manifests: Path) -> None:
    code, seen = watched(manifests, "check", "--jobs", "2", ".")
    assert code == 1
    # pairs of local sockets between our own processes are how they talk
    assert all(event == "socket.__new__" for event, _ in seen), seen
    assert not [
        detail for _, detail in seen if "AF_INET" in detail or ", 2, " in detail or ", 10, " in detail
    ]
