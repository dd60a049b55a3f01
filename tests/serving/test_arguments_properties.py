"""Properties of the command-line parser over random command lines."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vllmlint.serving.arguments import ParsedArguments, parse_arguments
from vllmlint.serving.flag_tables import Entrypoint, FlagSpec, flag_table
from vllmlint.serving.release import Release

M = "Qwen/Qwen3-8B"


def parse(
    words: str | list[str | None], tag: str, entrypoint: Entrypoint = "serve", **more: Any
) -> ParsedArguments:
    release = Release.parse(tag)
    assert release is not None
    return parse_arguments(words.split() if isinstance(words, str) else words, release, entrypoint, **more)


def kinds(parsed: ParsedArguments) -> list[str]:
    return [error.kind for error in parsed.errors]


def written(spec: FlagSpec) -> st.SearchStrategy[tuple[list[str], Any]]:
    """Valid words for a flag with the value they give."""
    if spec.type == "bool":
        return st.just(([], spec.action != "store_false"))
    if spec.choices:
        return st.sampled_from(spec.choices).map(lambda choice: ([str(choice)], choice))
    if spec.type == "int":
        return st.integers(0, 10**6).map(lambda number: ([str(number)], number))
    if spec.type == "float":
        return st.floats(0, 1).map(lambda number: ([repr(number)], number))
    if spec.type == "json":
        return st.dictionaries(st.text("abc", min_size=1), st.integers()).map(
            lambda value: ([json.dumps(value)], value)
        )
    texts = st.text("xyz/.", min_size=1, max_size=5).filter(lambda text: text != ".")
    if spec.nargs == "+":
        return st.lists(texts, min_size=1, max_size=3).map(lambda items: (items, items))
    return texts.map(lambda text: ([text], text))


PLAIN = {"bool", "int", "float", "str", "choice", "json", "list"}


def plain_flags(tag: str) -> list[FlagSpec]:
    release = Release.parse(tag)
    assert release is not None
    table = flag_table(release)
    specs = [table.spec(name) for name in table.names]
    odd = {
        "--model",
        "--config",
        "--lora-modules",
        "--prompt-adapters",
        "--reasoning-effort-map",
        "--headless",
    }
    odd |= {"--enable-auto-tool-choice", "--enable-log-outputs", "--enable-reasoning"}
    return [
        spec
        for spec in specs
        if spec.type in PLAIN
        and spec.name not in odd
        and not (spec.schema or spec.note or spec.repeat or spec.kv or spec.only)
        and spec.nargs != "?"
        and spec.action != "value"
        and not (spec.type == "list" and (spec.choices or spec.item != "str"))
        and not spec.name.startswith("--data-parallel")
    ]


FLAGS = {tag: plain_flags(tag) for tag in ("0.6.6", "0.8.5", "0.10.2", "0.33.0")}


@st.composite
def command_lines(draw: st.DrawFn) -> tuple[str, list[str], dict[str, Any]]:
    """A release, words of known flags in some order and spelling, and the values they give."""
    tag = draw(st.sampled_from(sorted(FLAGS)))
    chosen = draw(st.lists(st.sampled_from(FLAGS[tag]), unique_by=lambda spec: spec.name, max_size=8))
    words: list[str] = []
    expected: dict[str, Any] = {}
    for spec in chosen:
        texts, value = draw(written(spec))
        spelling = draw(st.sampled_from([spec.name, "--" + spec.key, *spec.aliases]))
        if len(texts) == 1 and draw(st.booleans()):
            words.append(f"{spelling}={texts[0]}")
        else:
            words += [spelling, *texts]
        expected[spec.key] = value
    return tag, words, expected


@settings(max_examples=150, deadline=None)
@given(command_lines())
def test_any_spelling_and_order_gives_the_same_settings(case: tuple[str, list[str], dict[str, Any]]) -> None:
    tag, words, expected = case
    parsed = parse([M, *words], tag)
    assert parsed.errors == []
    assert {name: setting.value for name, setting in parsed.settings.items()} == expected
    assert parsed.model == M
    for setting in parsed.occurrences:
        text = [M, *words][setting.flag_word]
        assert text[slice(*setting.flag_span)] == setting.spelling


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(FLAGS)),
    st.text("abcdefghijklmnopqrstuvwxyz-", min_size=3, max_size=20).map(lambda text: "--" + text),
)
def test_an_unknown_flag_never_parses(tag: str, flag: str) -> None:
    release = Release.parse(tag)
    assert release is not None
    table = flag_table(release)
    known = table.prefixed(flag, "serve")
    parsed = parse([M, flag], tag)
    if not known:
        assert "unrecognized" in kinds(parsed)
        assert [each.name for each in parsed.unknown] == [flag]
    else:
        assert not parsed.unknown


NASTY = ["--model", "--config", "--", "--port", "-tp"]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["0.6.6", "0.9.2", "0.11.2", "0.16.0", "0.33.0"]),
    st.sampled_from(["serve", "module"]),
    st.lists(
        st.none() | st.text('-_=.O+c1k{}":q \0a', max_size=8) | st.sampled_from(["--model", "--config", "--"])
    ),
)
def test_no_words_break_it(tag: str, entrypoint: Entrypoint, words: list[str | None]) -> None:
    parsed = parse(words, tag, entrypoint)
    for error in parsed.errors:
        assert error.message
        assert error.word is None or -1 <= error.word < len(words)
