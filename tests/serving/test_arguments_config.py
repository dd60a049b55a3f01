"""`--config` files and other files of a command line."""

from __future__ import annotations

from typing import Any

import pytest

from vllmlint.serving.arguments import ConfigFileError, ParsedArguments, parse_arguments
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


def file(mapping: Any) -> Any:
    return lambda path: mapping if path == "c.yaml" else None


#: Words, release, entrypoint, file, keys and values.
CONFIGS: list[tuple[str, str, Entrypoint, dict[str, Any], dict[str, Any]]] = [
    (
        f"{M} --config c.yaml",
        "0.33.0",
        "serve",
        {"port": 9, "enforce-eager": True},
        {"port": 9, "enforce_eager": True},
    ),
    (f"{M} --config c.yaml --port 1", "0.33.0", "serve", {"port": 9}, {"port": 1}),
    (f"{M} --config c.yaml", "0.33.0", "serve", {"enable-prefix-caching": False}, {}),
    (
        "--config c.yaml",
        "0.33.0",
        "module",
        {"enable-prefix-caching": False},
        {"enable_prefix_caching": False},
    ),
    (
        f"{M} --config c.yaml",
        "0.33.0",
        "serve",
        {"served-model-name": ["a", "b"]},
        {"served_model_name": ["a", "b"]},
    ),
    (f"{M} --config c.yaml", "0.16.0", "serve", {"hf-overrides": {"a": 1}}, {"hf_overrides": {"a": 1}}),
    (f"{M} --port=1 --config c.yaml", "0.9.2", "serve", {"port": 9}, {"port": 1}),
    ("--port=1 --config c.yaml", "0.9.2", "module", {"port": 9}, {"port": 9}),
]


@pytest.mark.parametrize(("words", "tag", "entrypoint", "content", "expected"), CONFIGS)
def test_config_files(
    words: str, tag: str, entrypoint: Entrypoint, content: dict[str, Any], expected: dict[str, Any]
) -> None:
    parsed = parse(words, tag, entrypoint, config_file=file(content))
    assert parsed.errors == []
    assert {name: setting.value for name, setting in parsed.settings.items()} == expected
    assert parsed.config is not None
    assert parsed.config.expanded


def test_config_file_that_is_not_at_hand() -> None:
    parsed = parse("--config c.yaml --port 1", "0.33.0")
    assert parsed.errors == []
    assert parsed.config is not None
    assert (parsed.config.path, parsed.config.expanded) == ("c.yaml", False)
    assert (parsed.model, parsed.model_source, parsed.complete) == (None, "config", False)


def unusable(path: str) -> Any:
    raise ConfigFileError("FileNotFoundError: " + path)


@pytest.mark.parametrize(
    ("words", "tag", "entrypoint", "reader"),
    [
        ("--config c.yaml", "0.33.0", "serve", file({"port": 1})),
        (f"{M} --config c.yaml", "0.33.0", "serve", unusable),
        (f"{M} --config c.txt", "0.33.0", "serve", unusable),
        (f"{M} --config", "0.33.0", "serve", None),
        (f"{M} --config c.yaml --config c.yaml", "0.33.0", "serve", None),
        ("--config c.yaml", "0.8.2", "serve", file({"model": M})),
        (f"{M} --config c.yaml", "0.33.0", "serve", file({1: 2})),
    ],
)
def test_config_files_that_end_the_process(words: str, tag: str, entrypoint: Entrypoint, reader: Any) -> None:
    assert kinds(parse(words, tag, entrypoint, config_file=reader))[:1] == ["exception"]


def test_config_file_first_under_the_old_module() -> None:
    parsed = parse("--config c.yaml", "0.9.2", "module", config_file=file({"model": M}))
    assert kinds(parsed)[:1] == ["needs_value"]


def test_chat_template_is_looked_for_on_request() -> None:
    assert parse(f"{M} --chat-template x.jinja", "0.33.0").errors == []
    missing = parse(f"{M} --chat-template x.jinja", "0.33.0", file_exists=lambda path: False)
    assert [(error.kind, error.stage) for error in missing.errors] == [("exception", "validate")]
    assert parse([M, "--chat-template", "{{ x }}"], "0.33.0", file_exists=lambda path: False).errors == []
