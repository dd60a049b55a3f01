"""Which contract rules a directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vllmlint.contract.discovery import find_contract

_TABLE = '[tool.vllmlint]\nfailOn = "info"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    return tmp_path


def write(path: Path, text: str = "") -> Path:
    path.write_text(text)
    return path


def test_none(root: Path) -> None:
    assert find_contract(root / "a" / "b", {}) is None


def test_found_upwards_and_nearest_wins(root: Path) -> None:
    top = write(root / "vllmlint.yaml")
    assert find_contract(root / "a" / "b", {}) == top
    near = write(root / "a" / "vllmlint.yaml")
    assert find_contract(root / "a" / "b", {}) == near
    assert find_contract(root, {}) == top


def test_order_in_one_directory(root: Path) -> None:
    third = write(root / "pyproject.toml", _TABLE)
    assert find_contract(root, {}) == third
    second = write(root / ".vllmlint.yaml")
    assert find_contract(root, {}) == second
    first = write(root / "vllmlint.yaml")
    assert find_contract(root, {}) == first


def test_stops_at_the_repository(root: Path) -> None:
    write(root / "vllmlint.yaml")
    (root / "a" / ".git").write_text("gitdir: elsewhere\n")  # a worktree's or submodule's
    assert find_contract(root / "a" / "b", {}) is None
    inside = write(root / "a" / "vllmlint.yaml")
    assert find_contract(root / "a" / "b", {}) == inside


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (_TABLE, True),
        ("[tool.vllmlint.rules]\nignore = []\n", True),
        ("[tool]\nvllmlint.failOn = 'info'\n", True),
        ("[project]\nname = 'x'\n", False),
        ("[project]\ndependencies = ['vllmlint']\n", False),
        ("# [tool.vllmlint]\n[tool.other]\n", False),
        ("tool = 3 # vllmlint\n", False),
        ("[tool.vllmlint]\nfailOn = \n", True),
        ("[tool.other]\nvllmlint = \n", False),
        ("[tool.vllmlint-extra]\na = \n", False),
    ],
)
def test_pyproject(root: Path, text: str, found: bool) -> None:
    path = write(root / "pyproject.toml", text)
    assert find_contract(root, {}) == (path if found else None)


def test_a_directory_of_that_name_is_no_contract(root: Path) -> None:
    (root / "vllmlint.yaml").mkdir()
    assert find_contract(root, {}) is None


def test_cache_holds_every_directory_on_the_way(root: Path) -> None:
    top = write(root / "vllmlint.yaml")
    cache: dict[Path, Path | None] = {}
    find_contract(root / "a" / "b", cache)
    assert cache == {root / "a" / "b": top, root / "a": top, root: top}
    top.unlink()
    (root / "a" / "c").mkdir()
    assert find_contract(root / "a" / "c", cache) == top


def test_relative_directory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = write(root / "vllmlint.yaml")
    monkeypatch.chdir(root / "a")
    assert find_contract(Path("b"), {}) == top
    assert find_contract(Path("b", "..", ".."), {}) == top
    assert os.getcwd() == str(root / "a")
