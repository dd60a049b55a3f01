"""Where settings and mistakes stand on a command line, and words that cannot be known."""

from __future__ import annotations

from typing import Any

import pytest

from vllmlint.serving.arguments import UNKNOWN, UNKNOWN_MARK, ParsedArguments, parse_arguments
from vllmlint.serving.flag_tables import Entrypoint
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


def test_places() -> None:
    words = [M, "--swap_space=4", "--max-model-len", "32k", "-qfp8", "-O2", "--port=80", "-cc.mode=3", "x"]
    parsed = parse(list(words), "0.33.0")
    shown = {
        setting.name: (setting.spelling, words[setting.value_words[0]][slice(*setting.value_span)])
        for setting in parsed.occurrences
        if setting.value_span is not None
    }
    assert shown == {
        "max_model_len": ("--max-model-len", "32k"),
        "quantization": ("-q", "fp8"),
        "optimization_level": ("-O", "2"),
        "port": ("--port", "80"),
        "compilation_config": ("-cc.mode", "3"),
    }
    unknown = parsed.unknown[0]
    assert (unknown.name, words[unknown.word][slice(*unknown.span)]) == ("--swap-space", "--swap_space")
    assert unknown.history is not None
    assert unknown.history.removed_in == "0.18.0"
    assert [error.message for error in parsed.errors] == [
        "unrecognized arguments: --swap_space=4".replace("swap_space", "swap-space"),
        "unrecognized arguments: x",
    ]
    part = parsed.settings["compilation_config"].dotted[0]
    assert (part.path, part.value, part.flag_word) == (("mode",), 3, 7)
    assert parsed.positionals == [0, 8]


def test_unknown_flags_take_the_words_after_them() -> None:
    parsed = parse(f"{M} --swap-space 4 --port 1 --no-such a b", "0.33.0")
    assert [(each.name, each.value_words) for each in parsed.unknown] == [
        ("--swap-space", (2,)),
        ("--no-such", (6, 7)),
    ]
    assert parsed.get("port") == 1


@pytest.mark.parametrize(
    ("flag", "tag", "suggestion"),
    [
        ("--cuda-graph-sizes", "0.33.0", "--cudagraph-capture-sizes"),
        ("--tensor-paralel-size", "0.33.0", "--tensor-parallel-size"),
        ("--max-modellen", "0.33.0", "--max-model-len"),
        ("--tp", "0.33.0", "-tp"),
        ("--swap-space", "0.33.0", None),
        ("--async-scheduling", "0.9.2", None),
        ("--completely-made-up", "0.33.0", None),
    ],
)
def test_suggestions(flag: str, tag: str, suggestion: str | None) -> None:
    assert parse([M, flag, "4"], tag).unknown[0].suggestion == suggestion


def test_unknown_value() -> None:
    parsed = parse([M, "--port", None, "--max-model-len=" + UNKNOWN_MARK, "-tp", "2"], "0.33.0")
    assert parsed.errors == []
    assert parsed.get("port") is UNKNOWN
    assert parsed.get("max_model_len") is UNKNOWN
    assert not parsed.settings["port"].certain
    assert not parsed.settings["port"].known
    assert not UNKNOWN
    assert parsed.get("tensor_parallel_size") == 2
    assert not parsed.has_unknown_words


@pytest.mark.parametrize(
    "words",
    [
        [M, None],
        [M, None, "x", "--port", "1"],
        [None],
        [None, M],
        [M, "--" + UNKNOWN_MARK, "x"],
        [M, "--served-model-name", "a", None],
        [M, "--port", "1", None, "extra"],
    ],
)
def test_unknown_words_may_be_options(words: list[str | None]) -> None:
    parsed = parse(words, "0.33.0")
    assert parsed.errors == []
    assert parsed.has_unknown_words
    assert not parsed.complete


def test_unknown_words_leave_other_mistakes() -> None:
    parsed = parse([M, None, "--swap-space", "4", "--enable-auto-tool-choice"], "0.33.0")
    assert kinds(parsed) == ["unrecognized"]


def test_dotted_values_may_be_unknown() -> None:
    parsed = parse([M, "--hf-overrides.a", None, "--hf-overrides.b=1"], "0.33.0")
    assert parsed.get("hf_overrides") is UNKNOWN
    assert [part.value for part in parsed.settings["hf_overrides"].dotted] == [UNKNOWN, 1]
