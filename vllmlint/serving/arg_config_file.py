"""The `--config FILE` of a command line: the file's settings become words in front of the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from vllmlint.serving.arg_errors import ArgumentError
from vllmlint.serving.arg_results import UNKNOWN_MARK, ConfigUse
from vllmlint.serving.arg_tokens import NOT_A_WORD, Prepared, Token
from vllmlint.serving.flag_tables import Entrypoint, FlagTable

#: Reads a `--config` file: its mapping, or None when the file is not at hand. Raises ConfigFileError
#: when the file is known and vLLM cannot use it.
ConfigReader = Callable[[str], "Mapping[Any, Any] | None"]


class ConfigFileError(Exception):
    """A `--config` file that makes vLLM end with a traceback; the text is the traceback's last line."""


def pull_config(
    result: Prepared, table: FlagTable, entrypoint: Entrypoint, config_file: ConfigReader | None
) -> None:
    """Put the settings of `--config FILE` where the release puts them."""
    tokens = result.tokens
    index = next(i for i, token in enumerate(tokens) if token.text == "--config")
    word = tokens[index].word

    def fail(message: str) -> None:
        result.errors.append(ArgumentError("exception", message, word, (0, 8), "--config"))

    if sum(token.text == "--config" for token in tokens) > 1:
        fail("AssertionError: More than one config file specified!")
    if index == len(tokens) - 1:
        fail("ValueError: No config file specified! Please check your command-line arguments.")
        result.tokens = tokens[:index]
        return
    path = tokens[index + 1].text
    inserted = _config_tokens(path, table, entrypoint, config_file, fail)
    known_path = None if UNKNOWN_MARK in path else path
    result.config = ConfigUse(known_path, tokens[index + 1].word, inserted is not None)
    before, after = tokens[:index], tokens[index + 2 :]
    if entrypoint == "serve":
        stay = _stay_in_serve(table, inserted, before, fail)
    elif table.parser.config_first_word_stays_first:
        # When `--config` itself is the first word, it stays as well.
        before, stay = before or [tokens[index]], 1
    else:
        stay = 1 if _starts_with_word(before) else 0
    # Command line over file: the file goes in front, but behind the model.
    result.tokens = [*before[:stay], *(inserted or []), *before[stay:], *after]


def _starts_with_word(before: list[Token]) -> bool:
    return bool(before) and not before[0].text.startswith("-")


def _stay_in_serve(
    table: FlagTable, inserted: list[Token] | None, before: list[Token], fail: Callable[[str], None]
) -> int:
    """How many words stay in front of the file's under `vllm serve`."""
    if table.parser.positional_required:
        if not before:
            fail("ValueError: No model_tag specified! Please check your command-line arguments.")
        return 1 if before else 0
    if _starts_with_word(before):
        return 1
    if inserted is not None and not any(token.text == "--model" for token in inserted):
        fail(
            "ValueError: No model specified! Please specify model either as a positional argument or in a "
            "config file."
        )
    return 0


def _config_tokens(
    path: str,
    table: FlagTable,
    entrypoint: Entrypoint,
    config_file: ConfigReader | None,
    fail: Callable[[str], None],
) -> list[Token] | None:
    """The file as command-line words; None when it is not at hand or of no use."""
    extension = path.split(".")[-1]
    if UNKNOWN_MARK in path:
        return None
    if extension not in ("yaml", "yml"):
        fail(f"ValueError: Config file must be of a yaml/yml type. {extension} supplied")
        return None
    try:
        mapping = config_file(path) if config_file is not None else None
        if mapping is None:
            return None
        return _expand_config(mapping, table, entrypoint)
    except ConfigFileError as error:
        fail(str(error))
        return None


def _expand_config(mapping: Mapping[Any, Any], table: FlagTable, entrypoint: Entrypoint) -> list[Token]:
    texts: list[str] = []
    negates = table.parser.config_false_negates_in == "api_server" and entrypoint == "module"
    for key, value in mapping.items():
        if not isinstance(key, str):
            raise ConfigFileError(f"TypeError: a key of the config file is no text: {key!r}")
        flag = "--" + key
        if isinstance(value, bool):
            if value:
                texts.append(flag)
            elif negates and f"--no-{key}" in table.options(entrypoint):
                texts.append(f"--no-{key}")
        elif isinstance(value, list) and table.parser.config_lists:
            if value:
                texts += [flag, *map(str, value)]
        elif isinstance(value, dict) and table.parser.config_yaml_nested:
            texts += [flag, json.dumps(value)]
        else:
            texts += [flag, str(value)]
    return [Token(text, NOT_A_WORD) for text in texts]
