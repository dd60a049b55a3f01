"""Value characters followed back to the file, against what libyaml composes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st
from yaml._yaml import CParser

from vllmlint.manifest.scalar_map import source_offsets, traced_offsets

BREAKS = "\n\r\x85\u2028\u2029"


class _Parser(CParser):  # type: ignore[misc]
    """Composes nodes without resolving tags."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        return "any"

    def descend_resolver(self, node: Any, key: Any) -> None: ...

    def ascend_resolver(self) -> None: ...


@dataclass(frozen=True)
class Composed:
    """A scalar as libyaml gives it."""

    text: str
    start: int
    end: int
    style: str
    value: str

    def traced(self) -> list[int] | None:
        """The offsets of the second reading, None when they would be guessed."""
        offsets = traced_offsets(self.text, self.start, self.end, self.style, self.value)
        return None if offsets is None else list(offsets)

    def offsets(self) -> list[int]:
        """The offsets that callers get."""
        return list(source_offsets(self.text, self.start, self.end, self.style, self.value))


def compose(text: str) -> list[Composed]:
    """The scalars of a document, in order."""
    found: list[Composed] = []

    def visit(node: yaml.Node) -> None:
        if isinstance(node, yaml.ScalarNode):
            span = node.start_mark.index, node.end_mark.index
            found.append(Composed(text, *span, node.style or "", node.value))
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                visit(item)
        else:
            for key, value in node.value:
                visit(key)
                visit(value)

    visit(_Parser(text).get_single_node())
    return found


def check(scalar: Composed) -> list[int]:
    """Assert what holds for every scalar that can be followed; its offsets."""
    text, value = scalar.text, scalar.value
    offsets = scalar.traced()
    assert offsets is not None, scalar
    assert offsets == scalar.offsets()
    assert len(offsets) == len(value) + 1
    assert offsets == sorted(set(offsets))
    assert scalar.start <= offsets[0]
    assert offsets[-1] <= scalar.end
    for index, character in enumerate(value):
        source = text[offsets[index]]
        if source == character:
            rest = text[offsets[index] + 1 : offsets[index + 1]]
            skipped = rest.replace("'", "", 1) if (scalar.style, character) == ("'", "'") else rest
            assert not skipped.replace("\\", "").strip(" \t" + BREAKS), scalar
        else:
            folded = character in " \n" and source in BREAKS
            assert folded or (scalar.style == '"' and source == "\\"), scalar
    return offsets


# document, value and offsets of its last scalar
CASES: dict[str, tuple[str, str, list[int]]] = {
    "plain": ("a: foo", "foo", [3, 4, 5, 6]),
    "plain with a comment": ("a: b c  # d\n", "b c", [3, 4, 5, 6]),
    "plain, nothing": ("a:", "", [2]),
    "plain, folded": ("a: b \n  c\n", "b c", [3, 5, 8, 9]),
    "plain, folded, CRLF": ("a: b\r\n  c\r\n", "b c", [3, 4, 8, 9]),
    "plain, empty line": ("a: b\n\n \n  c", "b\n\nc", [3, 5, 7, 10, 11]),
    "plain, empty line, CRLF": ("a: b\r\n\r\n  c", "b\nc", [3, 6, 10, 11]),
    "plain, tabs": ("a: b\tc\t\n \t d", "b\tc d", [3, 4, 5, 7, 11, 12]),
    "plain, next line": ("a: b\x85  c", "b c", [3, 4, 7, 8]),
    "plain, line separator": ("a: b \u2028 c", "b\u2028c", [3, 5, 7, 8]),
    "plain, separator and line": ("a: b\u2029\n c", "b\u2029\nc", [3, 4, 5, 7, 8]),
    "plain, not ASCII": ("é: \U0001f600 ü", "\U0001f600 ü", [3, 4, 5, 6]),
    "plain, in a flow sequence": ("[a, b\n c ]", "b c", [4, 5, 7, 8]),
    "plain, anchor": ("a: &b c", "c", [6, 7]),
    "plain, anchor and tag": ("a: &b !!str cd", "cd", [12, 13, 14]),
    "plain, tag and comment": ("a: !!str # d\n  c", "c", [15, 16]),
    "plain, only an anchor": ("a: &b", "", [5]),
    "plain, verbatim tag": ("a: !<x:y,z> b", "b", [12, 13]),
    "single": ("a: 'bc'", "bc", [4, 5, 6]),
    "single, nothing": ("a: ''", "", [4]),
    "single, quotes": ("a: 'it''s'''", "it's'", [4, 5, 6, 8, 9, 11]),
    "single, backslash": (r"a: '\n'", "\\n", [4, 5, 6]),
    "single, folded": ("a: 'b \n  c'", "b c", [4, 6, 9, 10]),
    "single, folded, CRLF": ("a: ' b\r\n\r\n  c\r\n  '", " b\nc ", [4, 5, 8, 12, 13, 15]),
    "single, empty lines": ("a: '\n\n\n  b'", "\n\nb", [5, 6, 9, 10]),
    "single, line separator": ("a: 'b \u2028  c'", "b\u2028c", [4, 6, 9, 10]),
    "single, anchor": ("a: &b 'c'", "c", [7, 8]),
    "double": ('a: "bc"', "bc", [4, 5, 6]),
    "double, nothing": ('a: ""', "", [4]),
    "double, escapes": (r'a: "\"\\\n\t\/x"', '"\\\n\t/x', [4, 6, 8, 10, 12, 14, 15]),
    "double, rare escapes": (
        r'a: "\0\a\b\v\f\r\e\ "',
        "\0\a\b\v\f\r\x1b ",
        [4, 6, 8, 10, 12, 14, 16, 18, 20],
    ),
    "double, breaks": (r'a: "\N\_\L\P"', "\x85\xa0\u2028\u2029", [4, 6, 8, 10, 12]),
    "double, tab": ('a: "b\\\tc"', "b\tc", [4, 5, 7, 8]),
    "double, code points": (r'a: "\x41\u00e9\U0001F600b"', "Aé\U0001f600b", [4, 8, 14, 24, 25]),
    "double, folded": ('a: "b \n  c"', "b c", [4, 6, 9, 10]),
    "double, continued": ('a: "b \\\n  c"', "b c", [4, 5, 10, 11]),
    "double, continued, CRLF": ('a: "b\\\r\n  c"', "bc", [4, 10, 11]),
    "double, continued, empty line": ('a: "b\\\n\n  c"', "b\nc", [4, 7, 10, 11]),
    "double, continued, blank kept": ('a: "b\\\n  \\ c"', "b c", [4, 9, 11, 12]),
    "double, quote inside": ('a: "it\'s"', "it's", [4, 5, 6, 7, 8]),
    "literal": ("a: |\n  bc\n  d\n", "bc\nd\n", [7, 8, 9, 12, 13, 14]),
    "literal, CRLF": ("a: |\r\n  b\r\n  c\r\n", "b\nc\n", [8, 9, 13, 14, 16]),
    "literal, strip": ("a: |-\n b\n\n", "b", [7, 8]),
    "literal, clip": ("a: |\n b\n\n", "b\n", [6, 7, 8]),
    "literal, keep": ("a: |+\n b\n\n \n", "b\n\n\n", [7, 8, 9, 11, 12]),
    "literal, no last break": ("a: |\n b", "b", [6, 7]),
    "literal, nothing": ("a: |", "", [4]),
    "literal, only empty lines": ("a: |\n\n\n", "", [5]),
    "literal, only kept lines": ("a: |+\n\n \n", "\n\n", [6, 8, 9]),
    "literal, leading lines": ("a: |\n\n \n  b\n", "\n\nb\n", [5, 7, 10, 11, 12]),
    "literal, indented": ("a: |\n  b\n   c\n  d", "b\n c\nd", [7, 8, 11, 12, 13, 16, 17]),
    "literal, empty line inside": ("a: |\n  b\n\n  c", "b\n\nc", [7, 8, 9, 12, 13]),
    "literal, blanks on a line": ("a: |\n  b\n   \n  c", "b\n \nc", [7, 8, 11, 12, 15, 16]),
    "literal, indentation": ("a: |1\n  b\n c", " b\nc", [7, 8, 9, 11, 12]),
    "literal, indentation, chomped": ("a: |1-\n\n   b\n", "\n  b", [7, 9, 10, 11, 12]),
    "literal, indentation, nested": ("a:\n  b: |+2\n      c\n", "  c\n", [16, 17, 18, 19, 20]),
    "literal, indentation, blanks first": ("a: |1\n   \n b\n", "  \nb\n", [7, 8, 9, 11, 12, 13]),
    "literal, header comment": ("a: |  # '|\n  b\n", "b\n", [13, 14, 15]),
    "literal, tag": ("a: !!str &x |\n  b\n", "b\n", [16, 17, 18]),
    "literal, tabs": ("a: |1\n \tb\tc\n", "\tb\tc\n", [7, 8, 9, 10, 11, 12]),
    "literal, line separator": ("a: |\n b\u2028 c\x85", "b\u2028c\n", [6, 7, 9, 10, 11]),
    "literal, hash": ("a: |\n  # b\nc: d", "d", [14, 15]),
    "literal at the top": ("--- |\n b\n", "b\n", [7, 8, 9]),
    "folded": ("a: >\n  b\n  c\n", "b c\n", [7, 8, 11, 12, 13]),
    "folded, CRLF": ("a: >\r\n  b\r\n  c\r\n", "b c\n", [8, 9, 13, 14, 16]),
    "folded, empty line": ("a: >-\n  b\n\n  c\n", "b\nc", [8, 10, 13, 14]),
    "folded, empty lines": ("a: >-\n  b\n\n\n  c\n", "b\n\nc", [8, 10, 11, 14, 15]),
    "folded, more indented": ("a: >-\n b\n  c\n d\n", "b\n c\nd", [7, 8, 10, 11, 12, 14, 15]),
    "folded, indented after empty": ("a: >-\n b\n\n  c\n", "b\n\n c", [7, 8, 9, 11, 12, 13]),
    "folded, tab": ("a: >-\n b\n \tc\n", "b\n\tc", [7, 8, 10, 11, 12]),
    "folded, leading lines": ("a: >-\n\n b\n", "\nb", [6, 8, 9]),
    "folded, keep": ("a: >+\n b\n\n", "b\n\n", [7, 8, 9, 10]),
    "folded, blanks before a break": ("a: >-\n b \n c\n", "b  c", [7, 8, 9, 11, 12]),
    "folded, line separator": ("a: >-\n b\u2028 c\n", "b\u2028c", [7, 8, 10, 11]),
}


@pytest.mark.parametrize("name", CASES)
def test_offsets(name: str) -> None:
    text, value, offsets = CASES[name]
    scalar = compose(text)[-1]
    assert scalar.value == value
    assert check(scalar) == offsets


def test_every_scalar_of_a_literal_document() -> None:
    text = "a: |\n  # b\nc: d\n'e': \"\\u0066\"\n"
    assert [[text[at] for at in check(scalar)[:-1]] for scalar in compose(text)] == [
        ["a"],
        ["#", " ", "b", "\n"],
        ["c"],
        ["d"],
        ["e"],
        ["\\"],
    ]


def test_the_plain_case_costs_no_list() -> None:
    assert source_offsets("a: foo", 3, 6, "", "foo") == range(3, 6 + 1)
    assert source_offsets("a: 'foo'", 3, 8, "'", "foo") == range(4, 7 + 1)


MARKED = st.sampled_from(["", "&a ", "!!str ", "&a !t ", "!!str # it's\n      "])


@st.composite
def flow_scalars(draw: st.DrawFn) -> tuple[str, str, list[int]]:
    """A document with a plain or quoted scalar, the value of that and the offsets."""
    style = draw(st.sampled_from(["", "'", '"']))
    line_break = draw(st.sampled_from(["\n", "\r\n", "\r", "\x85"]))
    nl = len(line_break)
    # each begins and ends with a character that is not blank, so that none changes its neighbour
    parts: list[tuple[str, str, list[int]]] = [
        ("é", "é", [0]),
        ("b c", "b c", [0, 1, 2]),
        ("b \t c", "b \t c", [0, 1, 2, 3, 4]),
        (f"b \t{line_break}     c", "b c", [0, 3, 8 + nl]),
        (f"b{line_break} {line_break}     \tc", "b\nc", [0, 2 + nl, 8 + 2 * nl]),
        ("b\u2028     \U0001f600", "b\u2028\U0001f600", [0, 1, 7]),
    ]
    if style == "'":
        parts += [("''", "'", [0]), ("\\", "\\", [0]), ('"', '"', [0])]
    if style == '"':
        parts += [("\\n", "\n", [0]), ("\\x41", "A", [0]), ("\\u20ac", "€", [0]), ("'", "'", [0])]
        parts += [('\\"', '"', [0]), ("\\\\", "\\", [0]), (f"b \\{line_break}     c", "b c", [0, 1, 8 + nl])]
    drawn = draw(st.lists(st.sampled_from(parts), min_size=0 if style else 1))
    text = draw(st.sampled_from(["- ", "a: ", "- a:\n    b: "])) + draw(MARKED) + style
    value = ""
    offsets = []
    after = len(text)
    for source, decoded, relative in drawn:
        offsets += [len(text) + at for at in relative]
        text += source
        value += decoded
        after = len(text)
    return text + style + draw(st.sampled_from(["", "\n"])), value, [*offsets, after]


@given(flow_scalars())
def test_flow_scalars_have_the_offsets_they_were_written_at(case: tuple[str, str, list[int]]) -> None:
    text, value, offsets = case
    scalar = compose(text)[-1]
    assert scalar.value == value
    assert check(scalar) == offsets


@st.composite
def literal_scalars(draw: st.DrawFn) -> tuple[str, str, list[int]]:
    """A document with a literal block, the value of that and the offsets."""
    line = st.text(alphabet="ab #'\"\\:é\U0001f600\t", max_size=6).map(lambda text: text.rstrip(" "))
    lines = draw(st.lists(line, min_size=1))
    assume(lines[-1])
    line_break = draw(st.sampled_from(["\n", "\r\n", "\x85"]))
    chomping = draw(st.sampled_from(["", "-", "+"]))
    indent = draw(st.integers(1, 9))
    trailing = draw(st.integers(0, 3))
    comment = draw(st.sampled_from(["", "  ", " # |"]))
    text = f"a: {draw(MARKED)}|{indent}{chomping}{comment}{line_break}"
    value = ""
    offsets: list[int] = []
    ends: list[int] = []
    for content in [*lines, *[""] * trailing]:
        text += " " * indent
        offsets += range(len(text), len(text) + len(content) + 1)
        value += content + "\n"
        ends += [len(text) + at + 1 for at in range(len(content))]
        text += content + line_break
        ends.append(len(text))
    kept = {"-": len(value) - 1 - trailing, "": len(value) - trailing, "+": len(value)}[chomping]
    return text, value[:kept], [*offsets[:kept], ends[kept - 1]]


@given(literal_scalars())
def test_literal_blocks_have_the_offsets_they_were_written_at(case: tuple[str, str, list[int]]) -> None:
    text, value, offsets = case
    scalar = compose(text)[-1]
    assert scalar.value == value
    assert check(scalar) == offsets


VALUES = st.text(alphabet="abc  \n\n\t:#-'\"\\&!|>%@,[]{}?0é\U0001f600\x85\u2028\xa0\x07", max_size=60)


@given(
    value=VALUES,
    style=st.sampled_from([None, "'", '"', "|", ">"]),
    width=st.integers(4, 60),
    indent=st.integers(2, 9),
    allow_unicode=st.booleans(),
    line_break=st.sampled_from(["\n", "\r\n", "\r"]),
    depth=st.integers(0, 4),
    dumper=st.sampled_from([yaml.SafeDumper, yaml.CSafeDumper]),
)
@example("a b\n\n c\n", ">", 4, 2, True, "\r\n", 2, yaml.SafeDumper)
@example("  a\n b", "|", 4, 9, True, "\n", 4, yaml.CSafeDumper)
def test_whatever_is_dumped_is_followed(
    value: str,
    style: str | None,
    width: int,
    indent: int,
    allow_unicode: bool,
    line_break: str,
    depth: int,
    dumper: Any,
) -> None:
    data: Any = value
    for level in range(depth):
        data = [data] if level % 2 else {"k": data, value[:9]: 1}
    text = yaml.dump(
        data,
        Dumper=dumper,
        default_style=style,
        width=width,
        indent=indent,
        allow_unicode=allow_unicode,
        line_break=line_break,
    )
    try:
        scalars = compose(text)
    except yaml.YAMLError:
        # some of what the emitters write for odd values is not YAML
        assume(False)
    for scalar in scalars:
        check(scalar)


BLANKS = ["  ", "\n  ", "\n", "\r\n  ", "\x85 ", "\u2028 ", "\t", "\\\n ", "\\ ", " # c\n"]
MARKS = ["a", "é", "\U0001f600", "#", "''", "'", '"', "\\", "\\n", "\\x41", "-", ":", "&a ", "!!str ", "? "]
SOUP = st.lists(st.sampled_from([*BLANKS, *MARKS]), max_size=12).map("".join)


@given(
    before=st.sampled_from(["", "- ", "a: ", "a:\n  b: ", "- - ", "? "]),
    marked=MARKED,
    opening=st.sampled_from(["", "'", '"', "|\n  ", ">\n  ", "|+\n ", ">-\n\n ", "|2 # c\n   ", ">1-\r\n  "]),
    soup=SOUP,
    after=st.sampled_from(["", "\n", "\nb: 1\n", "\n- 2\n"]),
)
def test_whatever_libyaml_takes_is_followed(
    before: str, marked: str, opening: str, soup: str, after: str
) -> None:
    closing = opening if opening in {"'", '"'} else ""
    try:
        scalars = compose(before + marked + opening + soup + closing + after)
    except (yaml.YAMLError, AttributeError):
        # not YAML, or nothing but comments
        assume(False)
    for scalar in scalars:
        check(scalar)


@pytest.mark.parametrize(
    ("text", "start", "end", "style", "value"),
    [
        ("a: foo", 3, 6, "", "bar"),
        ("a: foo", 3, 6, "", "much longer than that"),
        ("a: foo", 3, 6, "'", "foo"),
        ("a: 'f'o'", 3, 8, "'", "fo"),
        (r'a: "\q"', 3, 7, '"', "q"),
        (r'a: "\U00110000"', 3, 15, '"', "?"),
        ('a: "\\"', 3, 6, '"', ""),
        ('a: "b"c"', 3, 8, '"', "bc"),
        ("a: foo", 3, 6, "|", "foo"),
        ("a: |\n  b\n c\n", 3, 12, "|", "b\nc\n"),
        ("a: |\n", 3, 5, "|", "\nb"),
        ("a: >\n\u2028", 3, 6, ">", "b"),
        ("a: foo bar", 3, 10, "*", "foo"),
        ("a: foo", 3, 60, "", "foo bar"),
        ("a: foo", 60, 90, '"', "foo"),
        ("", 0, 0, "|", "foo"),
    ],
)
def test_a_scalar_that_cannot_be_followed_is_placed_inside_its_node(
    text: str, start: int, end: int, style: str, value: str
) -> None:
    scalar = Composed(text, start, end, style, value)
    assert scalar.traced() is None
    assert_inside(scalar)


@given(
    st.text(alphabet="ab &!|>+-12#'\"\\\n\r\x85\u2028", max_size=20),
    st.integers(-3, 25),
    st.integers(-3, 25),
    st.sampled_from(["", "'", '"', "|", ">", "*"]),
    st.text(alphabet="ab \n'\"\u2028", max_size=8),
)
def test_nothing_raises(text: str, start: int, end: int, style: str, value: str) -> None:
    assert_inside(Composed(text, start, end, style, value))


def assert_inside(scalar: Composed) -> None:
    """Assert that the offsets rise and stay inside the part of the node that the text has."""
    offsets = scalar.offsets()
    last = max(0, min(scalar.end, len(scalar.text)))
    first = max(0, min(scalar.start, last))
    assert len(offsets) == len(scalar.value) + 1
    assert offsets == sorted(offsets)
    assert first <= offsets[0]
    assert offsets[-1] <= last
