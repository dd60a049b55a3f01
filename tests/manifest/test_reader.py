"""Files to documents: numbering, places to the byte, and what is wrong with one among good ones."""

from __future__ import annotations

import pytest

from vllmlint.manifest import limits
from vllmlint.manifest.nodes import Scalar
from vllmlint.manifest.reader import SourceFile, read_manifest
from vllmlint.manifest.text import Position


def read(text: str | bytes) -> SourceFile:
    """A file with this content."""
    return read_manifest("dir/file.yaml", text if isinstance(text, bytes) else text.encode())


def kinds(file: SourceFile) -> list[str]:
    """The kinds of the problems of a file."""
    return [problem.kind for problem in file.problems]


def values(file: SourceFile) -> dict[int, str | None]:
    """Field `k` of each document, by the document's number."""
    return {document.index: document.root.string("k") for document in file.documents}


def position(file: SourceFile, document: int, *route: str | int) -> Position:
    """Where the content of a scalar begins."""
    node = file.documents[document].root.at(*route)
    assert isinstance(node, Scalar)
    return file.source.position(node.content.start)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("k: a\n", {0: "a"}, id="one"),
        pytest.param("---\nk: a\n", {0: "a"}, id="marker first"),
        pytest.param("k: a\n---\nk: b\n---\nk: c", {0: "a", 1: "b", 2: "c"}, id="three, no last line end"),
        pytest.param("k: a\r\n---\r\nk: b\r\n", {0: "a", 1: "b"}, id="crlf"),
        pytest.param("\ufeff---\nk: a\n", {0: "a"}, id="byte order mark"),
        pytest.param("k: a\n--- # comment\nk: b\n", {0: "a", 1: "b"}, id="comment behind the marker"),
        pytest.param("--- {k: a}\n--- {k: b}\n", {0: "a", 1: "b"}, id="content behind the marker"),
        pytest.param(
            "# only\n---\n# comments\n---\nk: a\n---\n\n---\nk: b\n", {0: "a", 1: "b"}, id="empty ones"
        ),
        pytest.param("---\nnull\n---\nk: a\n", {0: "a"}, id="null is no document"),
        pytest.param("k: a\n...\n---\nk: b\n", {0: "a", 1: "b"}, id="document end"),
        pytest.param("k: a\n...\nk: b\n", {0: "a", 1: "b"}, id="document end without a marker"),
        pytest.param("%YAML 1.1\n---\nk: a\n", {0: "a"}, id="yaml directive"),
        pytest.param("%TAG !e! tag:x,2000:\n# why\n---\nk: !e!t a\n", {0: "a"}, id="tag directive"),
        pytest.param(
            "k: a\n...\n%TAG !e! tag:x,2000:\n---\nk: !e!t b\n", {0: "a", 1: "b"}, id="later directive"
        ),
        pytest.param("k: |\n  ---\n  b\n---\nk: c\n", {0: "---\nb\n", 1: "c"}, id="marker in a block scalar"),
        pytest.param("k: ---\n", {0: "---"}, id="marker as a value"),
        pytest.param("k: a\n---x: b\n", {0: "a"}, id="no marker without a blank"),
        pytest.param("k: a # ...\n", {0: "a"}, id="dots in a comment"),
        pytest.param('{"k": "a", "l": [1, {"m": null}]}', {0: "a"}, id="json"),
        pytest.param("", {}, id="empty"),
        pytest.param("\ufeff", {}, id="only a byte order mark"),
        pytest.param("# nothing\n", {}, id="only a comment"),
    ],
)
def test_documents_are_numbered_from_0(text: str, expected: dict[int, str]) -> None:
    assert values(read(text)) == expected


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        ("k: [a", "document-unparsable"),
        ("k: 'a", "document-unparsable"),
        ("k: a\n b: c", "document-unparsable"),
        ("k: &a [*a]", "document-unparsable"),
        ("k: *nothing", "document-unparsable"),
        ("k: \x01", "document-unparsable"),
        ("[" * 300 + "]" * 300, "limit-exceeded"),
    ],
)
def test_the_documents_around_a_broken_one_are_read(broken: str, kind: str) -> None:
    file = read(f"k: a\n---\n{broken}\n---\nk: b\n...\n---\nk: c\n")
    assert kinds(file) == [kind]
    assert values(file) == {0: "a", 2: "b", 3: "c"}
    place = file.problems[0].place
    assert file.document_at(place.start) == 1
    assert place.line >= 3
    assert place.end > place.start


@pytest.mark.parametrize(
    ("text", "line", "column", "under"),
    [
        ("a: 1\nb: [1, 2\n", 2, 4, "["),
        ("a: 1\n---\né: '\n", 3, 4, "'"),
        ("a:\n\t- x\n", 2, 1, "\t"),
        ("日本: x\nb: \x07\n", 2, 4, "\x07"),
        ("a: b: c\n", 1, 5, ":"),
        ("a: [\n---\nb: 1\n", 1, 4, "["),
        ("a: 1\n---\nb: {\n\n---\n", 3, 4, "{"),
    ],
)
def test_a_syntax_error_has_its_place(text: str, line: int, column: int, under: str) -> None:
    (problem,) = read(text).problems
    at = problem.place.source.position(problem.place.start)
    assert (at.line, at.column, problem.place.text) == (line, column, under)
    assert at.offset == len(text[: problem.place.start].encode())


def test_a_tab_as_indentation_is_explained() -> None:
    assert "tab" in read("a:\n\t- x\n").problems[0].help


@pytest.mark.parametrize(
    ("data", "offset", "words"),
    [
        (b"k: \xff\n", 3, "not UTF-8"),
        (b"\xef\xbb\xbfk: \xe9\n", 6, "not UTF-8"),
        ("k: é\n".encode() + b"\x80", 6, "0x80"),
        ("k: a\n".encode("utf-16"), 0, "UTF-16"),
    ],
)
def test_undecodable_bytes(data: bytes, offset: int, words: str) -> None:
    file = read(data)
    (problem,) = file.problems
    assert problem.kind == "document-unparsable"
    assert words in problem.message
    assert file.source.position(problem.place.start).offset == offset
    assert file.documents == []


@pytest.mark.parametrize(
    ("text", "route", "expected"),
    [
        pytest.param("a:\n  b: x\n", ("a", "b"), (2, 6, 8), id="block"),
        pytest.param("a: {b: [1, x]}\n", ("a", "b", 1), (1, 12, 11), id="flow"),
        pytest.param('{"a": {"b": "x"}}', ("a", "b"), (1, 14, 13), id="json"),
        pytest.param("a:\r\n  b: x\r\n", ("a", "b"), (2, 6, 9), id="crlf counts two"),
        pytest.param("\ufeffa: x\n", ("a",), (1, 4, 6), id="byte order mark counts three"),
        pytest.param("ä: 1\nb: 日本\nc: x\n", ("c",), (3, 4, 19), id="columns count code points"),
        pytest.param("a: 😀 \nb: x\n", ("b",), (2, 4, 12), id="outside the basic plane"),
        pytest.param("c: 😀\nd: {e: 😀, f: x}\n", ("d", "f"), (2, 14, 24), id="code points on the line"),
    ],
)
def test_places_to_the_byte(text: str, route: tuple[str | int, ...], expected: tuple[int, int, int]) -> None:
    file = read(text)
    found = position(file, 0, *route)
    assert found == expected
    assert text.encode()[found.offset : found.offset + 1] == b"x"


def test_places_in_a_later_document() -> None:
    text = "\ufeffé: 1\r\n---\r\n# ü\r\na:\r\n  - x\r\n"
    found = position(read(text), 1, "a", 0)
    assert found == (5, 5, text.encode().index(b"x"))


def test_anchors_aliases_and_merge_keys() -> None:
    file = read(
        "base: &base {a: 1, b: 2}\n"
        "more: &more {b: 3, c: 4}\n"
        "one: {<<: *base, b: 5}\n"
        "two: {<<: [*base, *more], d: 6}\n"
        "three: *base\n"
        "four: {'<<': *base}\n"
    )
    root = file.documents[0].root
    assert [root.integer("one", key) for key in "abc"] == [1, 5, None]
    assert [root.integer("two", key) for key in "abcd"] == [1, 2, 4, 6]
    assert root.at("three") is root.at("base")
    assert root.at("four", "a") is None
    assert kinds(file) == []
    merged = root.at("one", "a")
    assert merged is not None
    assert merged.place.line == 1


def test_a_duplicate_key_keeps_the_last_value_and_points_at_both() -> None:
    file = read("k: a\nb: 1\n'k': c\n---\nk: d\n")
    (problem,) = file.problems
    assert problem.kind == "duplicate-key"
    assert (problem.place.text, problem.place.line) == ("k", 3)
    ((first, _),) = problem.related
    assert first.line == 1
    assert values(file) == {0: "c", 1: "d"}


def test_a_merged_key_is_no_duplicate() -> None:
    assert kinds(read("a: &a {x: 1}\nb:\n  x: 2\n  <<: *a\n")) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{- if .Values.x }}\nk: a\n{{- end }}\n", "Helm template"),
        ("k: {{ .Values.x }}\n", "Helm template"),
        ("k: '{{ .Values.x }}'\n", "Helm template"),
        ("k: '{{ include \"a.b\" . }}'\n", "Helm template"),
        ("k: {{ x }}\n", "template"),
        ("{% if x %}\nk: a\n{% endif %}\n", "Jinja template"),
        ("k: |\n  {% if x %}\n  a\n  {% endif %}\n", "Jinja template"),
    ],
)
def test_templates_are_skipped_with_a_reason(text: str, reason: str) -> None:
    file = read(f"k: a\n---\n{text}---\nk: b\n")
    assert [(one.index, one.reason) for one in file.skipped] == [(1, f"unrendered {reason}")]
    assert 3 <= file.skipped[0].place.line <= 4
    assert values(file) == {0: "a", 2: "b"}
    assert file.problems == []


@pytest.mark.parametrize(
    "text",
    [
        "k: '{{.Name}}'\n",
        "k: --template={{.ID}}\n",
        "k: '{{ $labels.pod }} is slow, {{ $value }} s'\n",
        "k: ${MODEL}\n",
        "k: 100{%}\n",
        "kind: ConfigMap\nk: |\n  {%- for message in messages %}\n  {{ message.content }}\n  {%- endfor %}\n",
    ],
)
def test_braces_that_are_no_template_are_kept(text: str) -> None:
    file = read(text)
    assert len(file.documents) == 1
    assert file.skipped == []


def test_a_large_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 100)
    assert kinds(read("k: a\n" + "#" * 95)) == []
    file = read("k: a\n" + "#" * 96)
    assert kinds(file) == ["limit-exceeded"]
    assert file.documents == []


def test_more_documents_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_DOCUMENTS", 3)
    assert kinds(read("---\nk: a\n" * 3)) == []
    file = read("---\nk: a\n" * 5)
    assert kinds(file) == ["limit-exceeded"]
    assert len(file.documents) == 3
    assert file.problems[0].place.line == 7


def nested_lines(levels: int) -> str:
    """A mapping and a sequence on each level, one blank deeper each time."""
    return "".join(f"{' ' * level}k:\n{' ' * level}-\n" for level in range(levels))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 201 + "]" * 201, id="flow sequences"),
        pytest.param("{a: " * 201 + "}" * 201, id="flow mappings"),
        pytest.param("[a: " * 150 + "x" + "]" * 150, id="pairs in flow sequences"),
        pytest.param("- " * 201 + "x", id="sequences on one line"),
        pytest.param("-   " * 390 + "x", id="sequences with wide gaps"),
        pytest.param("? - " * 30_000 + "x", id="complex keys"),
        pytest.param("- ? " * 390 + "x", id="complex keys in sequences"),
        pytest.param(nested_lines(150), id="by indentation"),
        pytest.param(nested_lines(90) + " " * 90 + "- " * 90 + "[" * 90 + "]" * 90, id="by all means"),
        pytest.param("[" * 100_000, id="never closed"),
    ],
)
def test_nesting_beyond_the_limit_is_refused(text: str) -> None:
    file = read("k: a\n---\n" + text)
    assert kinds(file) == ["limit-exceeded"]
    assert values(file) == {0: "a"}


@pytest.mark.parametrize("text", ["[" * 200 + "]" * 200, "- " * 199 + "k: x", nested_lines(99)])
def test_nesting_up_to_the_limit_is_read(text: str) -> None:
    file = read(text)
    assert kinds(file) == []
    assert len(file.documents) == 1


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    file = read("k: a\n---\n" + "\n".join(lines))
    assert kinds(file) == ["limit-exceeded"]
    assert "alias" in file.problems[0].message
    assert values(file) == {0: "a"}


def test_the_number_of_the_document_at_an_offset() -> None:
    text = "# head\nk: a\n---\n# nothing\n---\nk: [\n---\nk: '{{ .Values.x }}'\n---\nk: b\n"
    file = read(text)
    asked = {word: file.document_at(text.index(word)) for word in ("# head", "a\n", "[", "Values", "b\n")}
    assert asked == {"# head": 0, "a\n": 0, "[": 1, "Values": 2, "b\n": 3}
