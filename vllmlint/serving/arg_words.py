"""What vLLM does to the words of a command line before argparse reads them.

`FlexibleArgumentParser.parse_args` moves `--model` to the front, inserts the `--config` file, turns
underscores into dashes, rewrites `-O`, and gathers dotted flags into JSON, in this order. Here the same
happens to tokens that remember the characters they came from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from vllmlint.record import replace
from vllmlint.regex import regex
from vllmlint.serving.arg_config_file import ConfigReader, pull_config
from vllmlint.serving.arg_errors import ArgumentError, RefusedValueError, Span
from vllmlint.serving.arg_results import UNKNOWN, UNKNOWN_MARK, DottedPart
from vllmlint.serving.arg_tokens import Prepared, Token
from vllmlint.serving.arg_values import human_int
from vllmlint.serving.flag_tables import Entrypoint, FlagTable

_NEGATIVE_NUMBER: Final = regex(r"-\d+|-\d*\.\d+")
_SERVED_NAME: Final = regex(r"--served[-_]model[-_]name(=.+)?")
_MODEL: Final = regex(r"--model(=|$)")
_MODEL_WITH_VALUE: Final = regex(r"--model(=.|$)", re.DOTALL)
_MODEL_ADVICE: Final = (
    "ValueError: With `vllm serve`, you should provide the model as a positional argument or in a config "
    "file instead of via the `--model` option."
)


def prepare(
    words: Sequence[str | None],
    table: FlagTable,
    entrypoint: Entrypoint,
    config_file: ConfigReader | None,
) -> Prepared:
    """The words as argparse gets them in this release."""
    tokens = [Token(UNKNOWN_MARK if text is None else text, index) for index, text in enumerate(words)]
    result = Prepared(tokens)
    # The parser looks for the word `serve` itself, so under the module a first word `serve` counts as well.
    called_serve = entrypoint == "module" and bool(tokens) and tokens[0].text == "serve"
    if called_serve:
        result.tokens = tokens[1:]
    serves = called_serve or entrypoint == "serve"
    if serves:
        _model_option(result, table)
    if any(token.text == "--config" for token in result.tokens):
        pull_config(result, table, "serve" if serves else "module", config_file)
    if called_serve:
        result.tokens.insert(0, tokens[0])
        result.model = None
    _normalize(result, table)
    if table.parser.dotted_json:
        _gather_dotted(result, table)
    return result


def _model_option(result: Prepared, table: FlagTable) -> None:
    """What `vllm serve --model X` becomes."""
    behaviour = table.parser.serve_model_option
    tokens = result.tokens
    if behaviour == "error_exact_word":
        found = next((token for token in tokens if token.text == "--model"), None)
        if found is not None:
            result.errors.append(ArgumentError("exception", _MODEL_ADVICE, found.word, (0, 7), "--model"))
    elif behaviour == "moved_to_front":
        _move_model(result, table.release.at_least("0.17.0"))
    if table.release.at_least("0.17.0"):
        _check_first_word(result)


def _move_model(result: Prepared, newer: bool) -> None:
    """`newer` parsers (0.17.0) leave an empty `--model=` alone and keep a second `=` in the value."""
    tokens = result.tokens
    pattern = _MODEL_WITH_VALUE if newer else _MODEL
    index = next((i for i, token in enumerate(tokens) if pattern.match(token.text)), None)
    if index is None:
        return
    token = tokens[index]
    if token.text != "--model":
        value = token.text[8:] if newer else token.text.split("=")[1]
        model, rest = Token(value, token.word, token.start + 8), tokens[index + 1 :]
    elif index + 1 < len(tokens):
        model, rest = tokens[index + 1], tokens[index + 2 :]
    else:
        message = "IndexError: list index out of range"
        result.errors.append(ArgumentError("exception", message, token.word, (0, 7), "--model"))
        result.tokens = tokens[:index]
        return
    result.model = model
    result.tokens = [model, *tokens[:index], *rest]


def _check_first_word(result: Prepared) -> None:
    """0.17.0 and newer: a served name before the model, which the list would swallow."""
    texts = [token.text for token in result.tokens]
    if not texts or not texts[0].startswith("-"):
        return
    if any(text == "--config" or text.startswith("--config=") for text in texts):
        return
    named = next((token for token in result.tokens if _SERVED_NAME.fullmatch(token.text)), None)
    if named is None:
        return
    message = (
        "ValueError: `model` should be provided as the first positional argument when using `vllm serve`. "
        "i.e. `vllm serve <model> --<arg> <value>`."
    )
    length = len(named.text.partition("=")[0])
    result.errors.append(ArgumentError("exception", message, named.word, (0, length), "--served-model-name"))


def _normalize(result: Prepared, table: FlagTable) -> None:
    """Underscores to dashes in long names, and the spellings of `-O`."""
    output: list[Token] = []
    tokens = result.tokens
    dotted = table.parser.dotted_json
    for index, token in enumerate(tokens):
        text = token.text
        if text.startswith("--"):
            if "_" in text:
                key, equals, value = text.partition("=")
                name, dot, rest = key.partition(".") if dotted else (key, "", "")
                token = replace(token, text=name.replace("_", "-") + dot + rest + equals + value)
            output.append(token)
        elif text.startswith("-O") and dotted:
            following = tokens[index + 1].text if index + 1 < len(tokens) else ""
            output += _optimization(token, following, table)
        else:
            output.append(token)
    result.tokens = output


def _optimization(token: Token, following: str, table: FlagTable) -> list[Token]:
    """`-O3`, `-O=3`, `-O 3` and `-O.key` from 0.9.0 on."""
    text = token.text
    level = "level" if not table.release.at_least("0.11.1") else "mode"
    config = table.parser.O_means == "--compilation-config"
    if text == "-O":
        if following in ("0", "1", "2", "3"):
            name = f"-O.{level}" if config else "--optimization-level"
            return [replace(token, text=name, flag_end=token.start + 2)]
        return [token]
    if text[2] == "." and (config or not table.release.at_least("0.13.0")):
        # 0.12.0 still understands `-O.key` and passes it on as `-cc.key`.
        return [token if config else _renamed(token, "-cc" + text[2:], text.partition("=")[0])]
    value_at = 3 if text[2] == "=" else 2
    flag_end, value_start = token.start + 2, token.start + value_at
    if config:
        rewritten = f"-O.{level}={text[value_at:]}"
        return [replace(token, text=rewritten, flag_end=flag_end, value_start=value_start)]
    return [
        replace(token, text="--optimization-level", flag_end=flag_end),
        Token(text[value_at:], token.word, value_start),
    ]


def _renamed(token: Token, text: str, written_flag: str) -> Token:
    """The token with another flag name; its places stay those of `written_flag` and what follows."""
    flag_end = token.start + len(written_flag)
    return replace(token, text=text, flag_end=flag_end, value_start=flag_end + 1)


def _gather_dotted(result: Prepared, table: FlagTable) -> None:
    """Take `--flag.key value` out and put `--flag '{"key": value}'` at the end instead."""
    tokens = result.tokens
    kept: list[Token] = []
    groups: dict[str, tuple[Token, dict[str, Any], list[DottedPart]]] = {}
    index = 0
    while index < len(tokens):
        token = tokens[index]
        index += 1
        key, equals, value = token.text.partition("=")
        if not key.startswith("-") or "." not in key:
            kept.append(token)
            continue
        if equals:
            place = (token.word, token.value_span(len(key) + 1))
        elif index < len(tokens):
            value = tokens[index].text
            place = (tokens[index].word, tokens[index].value_span(0))
            index += 1
        else:
            message = "IndexError: list index out of range"
            result.errors.append(ArgumentError("exception", message, token.word, token.flag_span(len(key))))
            if _NEGATIVE_NUMBER.fullmatch(key):
                kept.append(token)
            continue
        _add_part(groups, token, key, value, place, table)
    for flag, (token, merged, parts) in groups.items():
        # No real argument holds a NUL, so its escape can only come from an unknown value.
        text = json.dumps(merged, default=lambda _: UNKNOWN_MARK).replace("\\u0000", UNKNOWN_MARK)
        kept.append(replace(token, text=flag, flag_end=parts[0].flag_span[1], parts=tuple(parts)))
        kept.append(Token(text, parts[0].value_word, parts[0].value_span[0]))
    result.tokens = kept


#: No config object nests so deep; what has more dots stays one key.
_DEEPEST_PATH = 64


def _add_part(
    groups: dict[str, tuple[Token, dict[str, Any], list[DottedPart]]],
    token: Token,
    key: str,
    text: str,
    place: tuple[int, Span],
    table: FlagTable,
) -> None:
    """Merge one dotted value into the object of its flag."""
    span = token.flag_span(len(key))
    if key.endswith("+") and table.parser.dotted_list_append:
        key = key[:-1]
        value: Any = UNKNOWN if UNKNOWN_MARK in text else text.split(",")
    else:
        value = _dotted_value(text, table)
    flag, *path = key.split(".", _DEEPEST_PATH)
    nested: Any = value
    for name in reversed(path):
        nested = {name: nested}
    group = groups.setdefault(flag, (token, {}, []))
    _merge(group[1], nested, table.parser.dotted_list_append)
    group[2].append(DottedPart(tuple(path), value, token.word, span, place[0], place[1]))


def _dotted_value(text: str, table: FlagTable) -> Any:
    if UNKNOWN_MARK in text:
        return UNKNOWN
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if table.parser.dotted_human_int:
        try:
            return human_int(text)
        except (ValueError, RefusedValueError):
            pass
    return text


def _merge(original: dict[str, Any], update: dict[str, Any], lists: bool) -> None:
    for key, value in update.items():
        known = original.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            _merge(known, value, lists)
        elif lists and isinstance(value, list) and isinstance(known, list):
            original[key] = known + value
        else:
            original[key] = value
