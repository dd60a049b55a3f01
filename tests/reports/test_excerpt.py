"""Pictures of source lines."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from report_samples import place

from vllmlint.lint.result import Spot
from vllmlint.manifest.text import Place, SourceText
from vllmlint.reports.excerpt import Mark, excerpt
from vllmlint.reports.terminal import Palette, clean, columns, wrap


def picture(source: SourceText, *marks: tuple[str | Place, str], width: int = 60) -> str:
    """The picture without its location line; the first mark is the finding's own."""
    made = [
        Mark(Spot.of(place(source, about) if isinstance(about, str) else about), label, style)
        for (about, label), style in zip(marks, ["error", *["related"] * len(marks)], strict=False)
    ]
    rows = excerpt(made, width=width, palette=Palette(False)).rows
    return "\n".join(rows[2:])


def test_wide_characters_and_tabs_line_up() -> None:
    source = SourceText("a.yaml", "\tname: 日本e\u0301語 🚀x # end\n")
    assert picture(source, ("x", "here"), ("本e\u0301", "wide")) == (
        "  1 |     name: 日本e\u0301語 🚀x # end\n"
        "    |             ---     ^ here\n"
        "    |             |\n"
        "    |             wide"
    )


def test_one_row_of_labels_for_each_place_on_a_line() -> None:
    source = SourceText("a.yaml", "args: [alpha, beta, gamma]\n")
    assert picture(source, ("beta", "second"), ("gamma", "third"), ("alpha", "first")) == (
        "  1 | args: [alpha, beta, gamma]\n"
        "    |        -----  ^^^^  ----- third\n"
        "    |        |      |\n"
        "    |        |      second\n"
        "    |        first"
    )


def test_overlapping_places_keep_both_labels() -> None:
    source = SourceText("a.yaml", "image: registry/name:tag\n")
    assert picture(source, ("name", "inner"), ("registry/name:tag", "outer")) == (
        "  1 | image: registry/name:tag\n"
        "    |        ---------^^^^---- outer\n"
        "    |                 |\n"
        "    |                 inner"
    )


def test_two_labels_at_one_start() -> None:
    source = SourceText("a.yaml", "key: value\n")
    assert picture(source, ("value", "long"), ("val", "short")) == (
        "  1 | key: value\n    |      ^^^^^ long\n    |      |\n    |      short"
    )


def test_one_line_between_is_shown_more_are_dots() -> None:
    source = SourceText("a.yaml", "a: 1\nb: 2\nc: 3\nd: 4\ne: 5\nf: 6\n")
    assert picture(source, ("1", ""), ("3", ""), ("6", "last")) == (
        "  1 | a: 1\n    |    ^\n  2 | b: 2\n  3 | c: 3\n    |    -\n  ...\n  6 | f: 6\n    |    - last"
    )


def test_a_long_line_is_cut_around_the_place() -> None:
    source = SourceText("a.yaml", f"key: {'x' * 50} NEEDLE {'y' * 50}\n")
    assert picture(source, ("NEEDLE", "found"), width=44) == (
        "  1 | …xxxxxxxxxxxxxx NEEDLE yyyyyyyyyyyyyy…\n    |                 ^^^^^^ found"
    )


def test_places_too_far_apart_for_one_row_repeat_the_line() -> None:
    words = " ".join(f"word{number:02}" for number in range(40))
    source = SourceText("a.yaml", words)
    marks = [(f"word{number:02}", f"label {number}") for number in (3, 20, 38)]
    drawn = picture(source, *marks, width=40)
    assert drawn.count("  1 |") == 2
    for _, label in marks:
        assert label in drawn


def test_a_place_wider_than_the_terminal_loses_its_middle() -> None:
    source = SourceText("a.yaml", "key: " + "ab" * 500 + " end\n")
    drawn = picture(source, ("ab" * 500, "long"), width=50).split("\n")
    assert drawn[0].startswith("  1 | key: abab")
    assert "…" in drawn[0]
    assert drawn[0].endswith("abab end")
    assert drawn[1].count("^") >= 30


def test_a_place_of_several_lines_shows_its_first_and_last() -> None:
    source = SourceText("a.yaml", "top:\n  one:  \r\n    two: 2\r\n    three: 3\r\n  # four\r\n\r\nend: 1\n")
    about = Place(source, source.text.index("one"), source.text.index("end"))
    assert picture(source, (about, "all this")) == (
        "  2 |   one:\n    |   ^^^^\n  ...\n  5 |   # four\n    |   ^^^^^^ all this"
    )


def test_long_labels_wrap_and_move_left() -> None:
    source = SourceText("a.yaml", f"{' ' * 30}key: value\n")
    drawn = picture(source, ("value", "a label with many words that fits nowhere beside it"), width=50)
    assert drawn.split("\n")[1].strip("| ") == "^^^^^"
    assert max(map(len, drawn.split("\n"))) <= 50
    assert " ".join(drawn.replace("|", " ").split()).endswith(
        "a label with many words that fits nowhere beside it"
    )


def test_a_huge_line_is_quick() -> None:
    source = SourceText("a.yaml", "{" + "\u00e9" * 2_000_000 + "}")
    drawn = picture(source, (Place(source, 1_000_000, 1_000_004), "here"))
    assert "^^^^ here" in drawn


def test_wrap_splits_only_what_fits_nowhere() -> None:
    assert wrap("one two three", 8) == ["one two", "three"]
    assert wrap("日本語日本語", 5) == ["日本", "語日", "本語"]
    assert wrap("a\n  b c", 4) == ["a", "  b", "  c"]
    assert wrap("toolong", 20, first=3) == ["", "toolong"]
    assert wrap("", 5) == [""]


CHARS = st.one_of(
    st.characters(),
    st.sampled_from("ab: \t\n\r日🚀é\u0301\u200d\x1b\U000e0001\ud800"),
)


@settings(deadline=None)
@given(st.data(), st.text(CHARS, max_size=300), st.integers(40, 120), st.booleans())
def test_any_text_fits_the_width(data: st.DataObject, text: str, width: int, color: bool) -> None:
    source = SourceText("a.yaml", text)
    marks = []
    for number in range(data.draw(st.integers(1, 5))):
        start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        label = data.draw(st.text(CHARS, max_size=60))
        marks.append(Mark(Spot.of(Place(source, start, end)), label, "related" if number else "warning"))
    for row in excerpt(marks, width=width, palette=Palette(False)).rows:
        assert columns(row) <= width
        # what is left is printable, so nothing acts on the terminal
        assert clean(row) == row
    excerpt(marks, width=width, palette=Palette(color))


@settings(deadline=None)
@given(st.text(CHARS, max_size=200), st.integers(2, 60), st.integers(1, 60))
@example("x" * 40, 10, 10)
def test_wrapped_text_fits_and_loses_no_word(text: str, width: int, first: int) -> None:
    lines = wrap(text, width, first=min(first, width))
    assert all(columns(line) <= width for line in lines)
    assert columns(lines[0]) <= max(first, 1)
    assert "".join("".join(lines).split()) == "".join(clean("".join(text.split())).split())
