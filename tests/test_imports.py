"""What a command imports, and the walls between the rooms of the package."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "vllmlint"
FOUNDING = ROOT / "fixtures" / "founding"
#: Modules of one room that every other may use; the entry points are no room.
FREE_FOR_ALL = {"severity", "wording", "record", "regex", "resources", "version"}
NO_ROOM = {"__init__", "__main__"}
HEAVY = (
    "kubernetes",
    "jsonschema",
    "rich",
    "pydantic",
    "ruamel",
    "tree_sitter",
    "multiprocessing",
    "asyncio",
    "urllib.request",
    "celpy",
)
#: Modules that linting one Deployment loads: of this package (the checks grow with the rules), and all. Where
#: the model and the GPU can be told there is a placement and a memory plan, with rooms of their own.
OWN_MODULES_AT_MOST, ALL_MODULES_AT_MOST = 130, 390
OWN_MODULES_WITH_A_PLAN, ALL_MODULES_WITH_A_PLAN = 250, 500


def modules_after(*arguments: str) -> set[str]:
    """The modules loaded once a command has ended."""
    program = (
        "import json, sys\n"
        "from vllmlint.__main__ import main\n"
        f"sys.argv = ['vllmlint', *{list(arguments)!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=clean(), capture_output=True, text=True, check=True
    )
    loaded: list[str] = json.loads(done.stderr.splitlines()[-1])
    return set(loaded)


def clean() -> dict[str, str]:
    """The environment without what loads modules at start-up (coverage, debuggers)."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTHON"))}


@pytest.mark.parametrize(
    ("model", "own_at_most", "all_at_most"),
    [
        ("example/our-own-model", OWN_MODULES_AT_MOST, ALL_MODULES_AT_MOST),
        ("meta-llama/Llama-3.1-8B-Instruct", OWN_MODULES_WITH_A_PLAN, ALL_MODULES_WITH_A_PLAN),
    ],
)
def test_a_plain_check_imports_nothing_heavy(
    tmp_path: Path, model: str, own_at_most: int, all_at_most: int
) -> None:
    manifest = tmp_path / "deployment.yaml"
    text = (FOUNDING / "deployment.yaml").read_text("utf-8")
    manifest.write_text(text.replace("meta-llama/Llama-3.1-8B-Instruct", model), "utf-8")
    loaded = modules_after("check", "--format", "json", str(manifest))
    assert not [name for name in HEAVY if name in loaded]
    assert "vllmlint.lint.run" in loaded
    own = [name for name in loaded if name.startswith("vllmlint") and not name.startswith("vllmlint.checks.")]
    assert len(own) <= own_at_most
    assert len(loaded) <= all_at_most


def test_other_formats_import_nothing_heavy_either() -> None:
    for fmt in ("text", "sarif", "github"):
        loaded = modules_after("check", "--format", fmt, str(FOUNDING / "deployment.yaml"))
        assert not [
            name for name in ("kubernetes", "jsonschema", "pydantic", "multiprocessing") if name in loaded
        ], fmt


def test_the_version_imports_next_to_nothing() -> None:
    loaded = modules_after("--version")
    assert not [name for name in (*HEAVY, "typer", "click", "yaml") if name in loaded]
    assert {name for name in loaded if name.startswith("vllmlint")} == {
        "vllmlint",
        "vllmlint.__main__",
        "vllmlint.version",
    }


def test_a_contract_brings_pydantic_and_a_shell_script_tree_sitter(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "vllmlint.yaml").write_text("vllm: {release: 0.33.0}\n", "utf-8")
    text = (FOUNDING / "deployment.yaml").read_text("utf-8")
    script = "          command: [/bin/sh, -c, exec vllm serve m --port 8000]\n          ports:"
    (tmp_path / "deployment.yaml").write_text(text.replace("          ports:", script), "utf-8")
    loaded = modules_after("check", "--format", "json", str(tmp_path))
    assert {"pydantic", "tree_sitter"} <= loaded


def rooms() -> list[str]:
    """The rooms in the order of docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = [
        re.findall(r"`vllmlint/(\w+)(?:/|\.py)`", line.split("|")[1])
        for line in text.splitlines()
        if line.startswith("| `")
    ]
    return [room for row in rows for room in row]


def room_of(path: Path) -> str:
    """The room a file belongs to: a package, or a module at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import of this package, those for type checkers left out."""
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if _is_typing_block(node)
        for child in ast.walk(node)
        if child is not node
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "vllmlint" and len(parts) > 1 and parts[1] != "__version__":
                yield node.lineno, parts[1]


def _is_typing_block(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def test_every_room_is_on_the_list() -> None:
    there = {room_of(path) for path in PACKAGE.rglob("*.py")} - NO_ROOM - FREE_FOR_ALL
    assert there <= set(rooms())
    assert len(rooms()) == len(set(rooms()))


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_only_from_those_above_it(room: str) -> None:
    order = rooms()
    allowed = {*order[: order.index(room) + 1], *FREE_FOR_ALL}
    files = [path for path in PACKAGE.rglob("*.py") if room_of(path) == room]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {other}"
        for path in files
        for line, other in imported_rooms(path)
        if other not in allowed
    ]
    assert not wrong


def test_the_kubernetes_client_stays_in_its_room() -> None:
    for path in PACKAGE.rglob("*.py"):
        if room_of(path) == "cluster":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "kubernetes"], path
