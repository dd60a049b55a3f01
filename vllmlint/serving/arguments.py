"""Reads a vLLM command line the way a release's own parser does.

Pure: nothing of vLLM is run and no file is read. Covers the two forms of the API server, `vllm serve`
and `python -m vllm.entrypoints.openai.api_server`, over the tables of `flag_tables`. Source of the
rules: vLLM's FlexibleArgumentParser and CPython's argparse, checked against what the real parsers of
twelve releases made of some 17,000 command lines (`benchmarks/argv/replay.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vllmlint.serving.arg_checks import check_after_parsing
from vllmlint.serving.arg_config_file import ConfigFileError, ConfigReader
from vllmlint.serving.arg_errors import ArgumentError, ErrorKind
from vllmlint.serving.arg_reader import Reader
from vllmlint.serving.arg_results import (
    UNKNOWN,
    UNKNOWN_MARK,
    ConfigUse,
    DottedPart,
    ParsedArguments,
    Setting,
    UnknownFlag,
)
from vllmlint.serving.arg_tokens import Prepared, Token
from vllmlint.serving.arg_unknown import unknown_flag
from vllmlint.serving.arg_words import prepare
from vllmlint.serving.flag_tables import Entrypoint, FlagTable, flag_table
from vllmlint.serving.release import Release

__all__ = [
    "UNKNOWN",
    "UNKNOWN_MARK",
    "ArgumentError",
    "ConfigFileError",
    "ConfigUse",
    "DottedPart",
    "ErrorKind",
    "ParsedArguments",
    "Setting",
    "UnknownFlag",
    "parse_arguments",
]


def parse_arguments(
    words: Sequence[str | None],
    release: Release,
    entrypoint: Entrypoint,
    config_file: ConfigReader | None = None,
    file_exists: Callable[[str], bool] | None = None,
) -> ParsedArguments:
    """What `release` makes of the words after `vllm serve` or after the module's name.

    A word that is None cannot be known; characters that cannot be known inside a word are UNKNOWN_MARK.
    `config_file` gives the content of a `--config` file, which otherwise is only recorded.
    `file_exists` tells which files the server would find; without it no file is looked for.
    """
    table = flag_table(release)
    prepared = prepare(words, table, entrypoint, config_file)
    output = ParsedArguments(release, entrypoint, errors=prepared.errors, config=prepared.config)
    takes_model = entrypoint == "serve" or table.release.at_least("0.10.0")
    reader = Reader(words, prepared.tokens, table, output, 1 if takes_model else 0)
    reader.read()
    _positional(reader, output)
    _model(reader, prepared, output, table)
    _required(output, table)
    _leftovers(reader, output)
    check_after_parsing(output, table, file_exists)
    return output


def _positional(reader: Reader, output: ParsedArguments) -> None:
    """Record the positional argument."""
    if reader.positional is None:
        return
    token = reader.tokens[reader.positional]
    if token.word >= 0:
        output.positionals.append(token.word)
    if UNKNOWN_MARK in token.text:
        # A word that is wholly unknown may just as well be an option.
        output.has_unknown_words = output.has_unknown_words or token.opaque
    else:
        output.positional = token.text


def _model(reader: Reader, prepared: Prepared, output: ParsedArguments, table: FlagTable) -> None:
    """Which model would be served, and where it is written."""
    option = output.settings.get("model")
    if output.entrypoint == "serve" and reader.positional is not None:
        token = reader.tokens[reader.positional]
        output.model = output.positional
        output.model_source = "option" if token is prepared.model else "positional"
        _model_place(output, token)
    elif option is not None:
        output.model = option.value if isinstance(option.value, str) else None
        output.model_source = "config" if option.from_config else "option"
        output.model_setting = option
        if option.value_words and option.value_words[0] >= 0:
            output.model_word, output.model_span = option.value_words[0], option.value_span
    elif output.config is not None and not output.config.expanded:
        output.model_source = "config"
    elif not output.has_unknown_words and not (
        output.entrypoint == "serve" and table.parser.positional_required
    ):
        output.model = table.spec("--model").default
        output.model_source = "default"


def _model_place(output: ParsedArguments, token: Token) -> None:
    if token.word >= 0:
        output.model_word = token.word
        output.model_span = (token.start, token.start + len(token.text))


def _required(output: ParsedArguments, table: FlagTable) -> None:
    """Up to 0.8.2 `vllm serve` insists on the positional model."""
    if output.entrypoint != "serve" or not table.parser.positional_required:
        return
    if output.model_source == "positional" or output.has_unknown_words:
        return
    message = "the following arguments are required: model_tag"
    output.errors.append(ArgumentError("required", message))


def _leftovers(reader: Reader, output: ParsedArguments) -> None:
    """Unknown flags with the words after them, and positional arguments that nothing takes."""
    extras = reader.extras
    uncertain = False
    position = 0
    while position < len(extras):
        index = extras[position]
        group = [reader.tokens[index]]
        position += 1
        while (
            position < len(extras)
            and extras[position] == index + len(group)
            and extras[position] not in reader.options
        ):
            group.append(reader.tokens[extras[position]])
            position += 1
        opaque = any(token.opaque for token in group)
        if opaque:
            output.has_unknown_words = True
        if index in reader.options:
            _unknown_option(reader, index, group, output)
        elif not opaque and not uncertain and not _after_unknown(reader, index):
            _unwanted(group, output)
        output.positionals.extend(
            token.word for token in group if token.word >= 0 and token is not reader.tokens[index]
        )
        if index not in reader.options and reader.tokens[index].word >= 0:
            output.positionals.append(reader.tokens[index].word)
        uncertain = uncertain or opaque
    output.positionals.sort()


def _after_unknown(reader: Reader, index: int) -> bool:
    """Whether an unknown word before `index` may be what takes or displaces the word there."""
    return any(token.opaque for token in reader.tokens[:index])


def _unknown_option(reader: Reader, index: int, group: list[Token], output: ParsedArguments) -> None:
    token = group[0]
    option = reader.options[index]
    name = token.text[: option.length]
    span = token.flag_span(option.length)
    values = tuple(each.word for each in group[1:] if each.word >= 0)
    message = "unrecognized arguments: " + _shown(group)
    output.errors.append(ArgumentError("unrecognized", message, token.word, span, name))
    output.unknown.append(unknown_flag(token.word, span, name, values, output.release, output.entrypoint))


def _unwanted(group: list[Token], output: ParsedArguments) -> None:
    token = group[0]
    message = "unrecognized arguments: " + _shown(group)
    span = (token.start, token.start + len(token.text))
    output.errors.append(ArgumentError("unrecognized", message, token.word, span))


def _shown(group: list[Token]) -> str:
    return " ".join(token.text.replace(UNKNOWN_MARK, "…") for token in group)
