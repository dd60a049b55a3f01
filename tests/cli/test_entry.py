"""How a run ends when its surroundings fail: closed streams, full disks, readers that leave."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runs import CLEAN, MOVING

PROGRAM = "from vllmlint.__main__ import main; main()"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with a guilty and a clean manifest."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "moving.yaml").write_text(MOVING)
    (tmp_path / "clean.yaml").write_text(CLEAN)
    return tmp_path


def shell(directory: Path, script: str) -> tuple[int, str]:
    """Exit code and standard error of a bash script in which `vllmlint` is the program."""
    program = shlex.join([sys.executable, "-c", PROGRAM])
    done = subprocess.run(
        ["bash", "-c", f'vllmlint() {{ {program} "$@"; }}\n{script}'],
        cwd=directory,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("check moving.yaml", 1),
        ("check clean.yaml", 0),
        ("check moving.yaml --format json", 1),
        ("rules", 0),
        ("rules --format json", 0),
        ("schema contract", 0),
        ("inspect moving.yaml", 0),
        ("--help", 0),
    ],
)
def test_a_reader_that_leaves_changes_no_exit_code(project: Path, command: str, code: int) -> None:
    # the reader is gone before the first byte is written
    script = f"vllmlint {command} | true; exit ${{PIPESTATUS[0]}}"
    assert shell(project, script) == (code, "")


def test_reports_are_written_though_nobody_reads_the_output(project: Path) -> None:
    assert (
        shell(project, "vllmlint check moving.yaml --report json=out.json | true; exit ${PIPESTATUS[0]}")[0]
        == 1
    )
    assert (project / "out.json").read_text("utf-8").startswith("{")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "command", ["check moving.yaml", "rules", "schema contract", "explain VL101", "--help"]
)
def test_a_full_disk_is_told_in_one_line(project: Path, command: str) -> None:
    code, err = shell(project, f"vllmlint {command} > /dev/full")
    assert (code, err) == (2, "vllmlint: cannot write the output: No space left on device\n")


@pytest.mark.parametrize(
    "command",
    ["check -", "inspect -", "place moving.yaml --nodes -", "fit --gpu nvidia-l4 --compare-log -"],
)
def test_a_closed_standard_input_is_told_in_one_line(project: Path, command: str) -> None:
    code, err = shell(project, f"vllmlint {command} <&-")
    assert (code, err) == (2, "vllmlint: cannot read standard input: it is closed\n")


def test_a_closed_standard_output_leaves_the_exit_code(project: Path) -> None:
    assert shell(project, "vllmlint check moving.yaml >&-") == (1, "")


@pytest.mark.parametrize("command", ["check .", "check ../moving.yaml", "inspect ../moving.yaml"])
def test_a_directory_that_is_gone_is_told_in_one_line(project: Path, command: str) -> None:
    code, err = shell(project, f"mkdir gone && cd gone && rmdir ../gone && vllmlint {command}")
    assert code == 2
    assert err in (
        "vllmlint: the current directory does not exist any more\n",
        "vllmlint: no such file or directory: ../moving.yaml\n",
    )


def test_pipes_and_links_to_nowhere_in_a_directory_are_passed_over(project: Path) -> None:
    os.mkfifo(project / "pipe.yaml")
    (project / "dangling.yaml").symlink_to("nowhere.yaml")
    code, err = shell(project, "vllmlint check . | grep -q '^2 files, 1 server'")
    assert (code, err) == (0, "")
