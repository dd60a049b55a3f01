"""Scalars that know their characters, and the short ways to reach a node."""

from __future__ import annotations

import pytest

from vllmlint.manifest.nodes import Node, Scalar
from vllmlint.manifest.reader import read_manifest


def root(text: str) -> Node:
    """The only document of a text."""
    (document,) = read_manifest("x.yaml", text.encode()).documents
    return document.root


def scalar(text: str) -> Scalar:
    """The scalar under `k`."""
    node = root(text).at("k")
    assert isinstance(node, Scalar)
    return node


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("k: a b\n", "a b"),
        ("k: 'a b'\n", "a b"),
        ('k: "a b"\n', "a b"),
        ("k: &x a b\n", "a b"),
        ("k: !!str 12\n", "12"),
        ("k: !!str &x 'a b'\n", "a b"),
        ("k: 'it''s'\n", "it''s"),
        ('k: "a\\tb\\n"\n', "a\\tb"),
        ("k: ''\n", "''"),
        ("k: |\n  a\n  b\n", "a\n  b"),
        ("k: >-\n  a\n  b\n", "a\n  b"),
        ("k: |+\n  a\n\n", "a"),
        ("k: a\n  b\n", "a\n  b"),
    ],
)
def test_content_is_the_text_without_its_dress(text: str, content: str) -> None:
    assert scalar(text).content.text == content


@pytest.mark.parametrize(
    ("text", "part", "source"),
    [
        ("k: one two\n", "two", "two"),
        ("k: &x one two\n", "one", "one"),
        ("k: 'it''s two'\n", "it's", "it''s"),
        ("k: 'a '' b'\n", "a '", "a ''"),
        ('k: "a \\"b\\" c"\n', '"b"', '\\"b\\"'),
        ('k: "x\\u00e9 y"\n', "xé", "x\\u00e9"),
        ('k: "x\\x41 y"\n', "xA", "x\\x41"),
        ('k: "x\\U0001F600 y"\n', "x😀", "x\\U0001F600"),
        ('k: "a \\\n    b c"\n', "b", "b"),
        ("k: >\n  one\n  two three\n", "two", "two"),
        ("k: >\n  one\n  two three\n", "one two", "one\n  two"),
        ("k: |\r\n  one \\\r\n  two\r\n", "two", "two"),
        ("k: |2\n    one\n  two\n", "  one", "  one"),
    ],
)
def test_a_part_has_its_own_characters(text: str, part: str, source: str) -> None:
    node = scalar(text)
    start = node.text.index(part)
    assert node.part(start, start + len(part)).text == source


def test_an_empty_part_has_a_position() -> None:
    node = scalar("k: abc\n")
    assert [node.part(at, at).start for at in (0, 1, 3)] == [3, 4, 6]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("k: 1\n", 1),
        ("k: '1'\n", "1"),
        ("k: yes\n", True),
        ('k: "yes"\n', "yes"),
        ("k: |\n  1\n", "1\n"),
        ("k: !!str 1\n", "1"),
        ("k: !!int '1'\n", 1),
        ("k: !mine 1\n", "1"),
        ("k: 1.5\n", 1.5),
        ("k:\n", None),
    ],
)
def test_values(text: str, value: object) -> None:
    found = scalar(text).value
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("written", ["", "~", "null", "Null", "NULL"])
def test_null_counts_as_missing(written: str) -> None:
    node = root(f"k: {written}\nl: 1\n")
    assert node.scalar("k") is None
    assert node.string("k") is None
    assert node.at("k") is not None


@pytest.mark.parametrize("written", ["'null'", '""', "'~'", "|\n  null", "nil"])
def test_a_quoted_null_is_text(written: str) -> None:
    assert root(f"k: {written}\n").scalar("k") is not None


def test_short_ways() -> None:
    node = root("a: [{b: 1, c: on, d: '1'}, x, {b: 2}]\ne: {f: 0x10}\n")
    assert node.integer("a", 0, "b") == 1
    assert node.integer("a", -1, "b") == 2
    assert node.integer("a", 0, "c") is None
    assert node.integer("a", 0, "d") is None
    assert node.integer("e", "f") == 16
    assert node.flag("a", 0, "c") is True
    assert node.flag("a", 0, "b") is None
    assert node.string("a", 0, "b") == "1"
    assert node.string("a", 1) == "x"
    assert node.mapping("e") is not None
    assert node.mapping("a") is None
    assert node.sequence("a") is not None
    assert node.sequence("e") is None
    assert [one.integer("b") for one in node.mappings("a")] == [1, 2]
    assert list(node.mappings("e")) == []


@pytest.mark.parametrize("route", [("z",), ("a", 3), ("a", -4), ("a", "b"), ("e", 0), ("a", 1, "b")])
def test_a_missing_step_is_no_error(route: tuple[str | int, ...]) -> None:
    assert root("a: [{b: 1}, x, {b: 2}]\ne: {f: 1}\n").at(*route) is None


def test_the_key_itself_can_be_underlined() -> None:
    node = root('"a b": {c: 1}\n').mapping()
    assert node is not None
    key = node.key("a b")
    assert key is not None
    assert key.content.text == "a b"
    assert node.key("c") is None


def test_collections_end_with_their_last_child() -> None:
    node = root("a:\n  b: 1\n  c: [x]\n\n# comment\nd: &d\n  - e\n  - f\ng:\n  h: 1\n  i: *d\nj: 1\n")
    for route, text in (
        (("a",), "b: 1\n  c: [x]"),
        (("a", "c"), "[x]"),
        (("d",), "&d\n  - e\n  - f"),
        (("g",), "h: 1\n  i"),
    ):
        found = node.at(*route)
        assert found is not None
        assert found.place.text == text
