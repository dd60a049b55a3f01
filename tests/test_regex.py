"""Expressions that are compiled on first use."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from vllmlint.regex import regex

PACKAGE = Path(__file__).resolve().parent.parent / "vllmlint"


def test_the_methods_are_those_of_the_compiled_expression() -> None:
    for _ in range(2):  # before and after the first use
        pattern = regex(r"(\d+)", re.IGNORECASE)
        assert pattern.pattern == r"(\d+)"
        assert pattern.findall("a1b22") == ["1", "22"]
        match = pattern.search("a1b22")
        assert match is not None
        assert match.group(1) == "1"
        assert pattern.sub("x", "a1") == "ax"
        assert pattern.fullmatch("1a") is None
        assert pattern.split("a1b") == ["a", "1", "b"]


def test_flags_are_used() -> None:
    assert regex("abc", re.IGNORECASE).match("ABC") is not None


def test_what_is_no_method_of_an_expression_is_refused() -> None:
    with pytest.raises(AttributeError):
        regex("a").march  # type: ignore[attr-defined]  # noqa: B018


def test_a_wrong_expression_raises_when_it_is_used() -> None:
    wrong = regex("(")
    with pytest.raises(re.error):
        wrong.match("")


def patterns() -> list[str]:
    """Every expression of the package that is written as one text."""
    calls = (
        node
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "regex"
    )
    return [str(call.args[0].value) for call in calls if isinstance(call.args[0], ast.Constant)]


def test_every_expression_of_the_package_compiles() -> None:
    found = patterns()
    assert len(found) > 100
    for text in found:
        re.compile(text)


def test_no_module_compiles_expressions_as_it_is_imported() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for statement in ast.parse(path.read_text("utf-8")).body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef)
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "re.compile"
        # of bytes: they are used whenever their module is
        and not (isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, bytes))
    ]
    assert not wrong
