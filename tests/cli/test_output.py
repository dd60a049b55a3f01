"""What a report looks like: colour, width, and letters that the output does not have."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runs import MOVING, call, process

from vllmlint.cli import check as command
from vllmlint.reports.options import terminal_width, wants_color

TAG = ("--select", "image-tag-floating")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with a guilty manifest."""
    (tmp_path / "moving.yaml").write_text(MOVING)
    return tmp_path


@pytest.mark.parametrize("width", ["40", "60", "200"])
def test_a_narrow_terminal(project: Path, width: str) -> None:
    done = call(project, "check", "moving.yaml", env={"COLUMNS": width})
    assert done.code == 1
    source = {line.strip() for line in MOVING.splitlines()}
    wide = [line for line in done.out.splitlines() if len(line) > int(width)]
    assert all(any(word in line for word in ("/", *source)) or len(line.split()) < 3 for line in wide)
    assert "\x1b[" not in done.out


@pytest.mark.parametrize(
    ("env", "terminal", "color"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"CLICOLOR_FORCE": "1"}, False, True),
        ({"CLICOLOR_FORCE": "0"}, False, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colour(monkeypatch: pytest.MonkeyPatch, env: dict[str, str], terminal: bool, color: bool) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(command.sys.stdout, "isatty", lambda: terminal, raising=False)
    assert wants_color() is color


def test_colour_and_width_in_a_report(project: Path) -> None:
    assert "\x1b[" in call(project, "check", "moving.yaml", *TAG, env={"FORCE_COLOR": "1"}).out
    both = {"FORCE_COLOR": "1", "NO_COLOR": "1"}
    assert "\x1b[" not in call(project, "check", "moving.yaml", *TAG, env=both).out


def test_the_width_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(command.sys.stdout, "isatty", lambda: False, raising=False)
    assert terminal_width() == 100
    monkeypatch.setenv("COLUMNS", "50")
    assert terminal_width() == 50


def test_an_output_that_cannot_show_a_letter(project: Path) -> None:
    (project / "moving.yaml").write_text(MOVING.replace("org/model", "org/modèle-日本"), "utf-8")
    done = process(project, "check", "moving.yaml", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.code == 1
    assert "Traceback" not in done.err
