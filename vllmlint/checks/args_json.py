"""Section args: flags whose value is JSON, as the release reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches

from vllmlint.checks._args import REFUSED, judgement
from vllmlint.finding import Confidence, Edit, Finding, Fix
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.serving.arg_config_objects import config_fields
from vllmlint.serving.arg_errors import ArgumentError
from vllmlint.serving.arg_results import Setting
from vllmlint.serving.flag_tables import flag_table
from vllmlint.serving.server import Server
from vllmlint.world import World

_JSON_TYPES = frozenset({"json", "json_or_str", "kv"})
#: A template that somebody has still to fill in.
_UNFILLED = regex(r"\$[({]|\{\{|<[A-Za-z_][A-Za-z_ -]*>|\0")
_KEY_VALUES = regex(r"\s*[A-Za-z_]\w*=[^{}\s]")
#: What vLLM says of a value that is JSON, but not what the flag's class takes.
_VALIDATION = regex(r"validation error for (?P<name>\w+): (?:(?P<path>[\w.]+): )?(?P<text>.+)", re.DOTALL)
_LOOK_UP = "See `vllm serve --help=all` of this release for what it takes."
_TOKEN = regex(r"[A-Za-z_][\w-]*|\S|\Z")


@record
class _Value:
    """The text of a JSON flag's value: characters `start` to `end` of word number `word`."""

    flag: str
    text: str
    word: int
    start: int
    server: Server

    def place(self, start: int, end: int) -> Place:
        """The characters `start` to `end` of the value."""
        return self.server.word_place(self.word, self.start + start, self.start + end)

    @property
    def whole(self) -> Place:
        """All of the value."""
        return self.place(0, len(self.text)) if self.text else self.server.word_place(self.word)


@record
class _Problem:
    """What is wrong with a value, where, and what to write instead."""

    place: Place
    fact: str
    help: str
    label: str
    syntax: bool = True
    fix: Fix | None = None


def json_flag_invalid(server: Server, world: World) -> Iterator[Finding]:
    """A JSON flag with a value that is no JSON, or not what the flag takes."""
    for error in server.arguments.errors:
        problem = _of_error(error, server)
        if problem is not None:
            yield _finding(problem, server, REFUSED)
    for setting in server.arguments.occurrences:
        value = _of_setting(setting, server)
        # a flag that takes JSON or a text takes quoted JSON for a text and says nothing
        is_text = (
            setting.spec is not None and setting.spec.type == "json_or_str" and isinstance(setting.value, str)
        )
        if is_text and value is not None and (problem := _shell_quotes(value)) is not None:
            yield _finding(problem, server, "vLLM takes the value for a text, not for JSON")


def _finding(problem: _Problem, server: Server, consequence: str) -> Finding:
    judged = judgement(server)
    if problem.syntax:
        # what is no JSON is none in every release
        confidence: Confidence = "high" if server.release_certainty != "assumed" else "medium"
        judged = judged.at_least(confidence)
    return Finding(
        problem.place,
        f"{problem.fact}: {consequence}",
        problem.help,
        problem.label,
        confidence=judged.confidence,
        assumptions=() if problem.syntax else judged.assumptions,
        related=() if problem.syntax else judged.related,
        fix=problem.fix,
    )


def _of_setting(setting: Setting, server: Server) -> _Value | None:
    """The value of a setting that stands in one piece on the command line."""
    if setting.from_config or setting.dotted or len(setting.value_words) != 1 or setting.value_span is None:
        return None
    return _value(
        setting.spec.name if setting.spec else setting.spelling,
        setting.value_words[0],
        setting.value_span[0],
        server,
    )


def _value(flag: str, word: int, start: int, server: Server) -> _Value | None:
    if not 0 <= word < len(server.invocation.words):
        return None
    text = server.invocation.words[word].text
    if text is None or _UNFILLED.search(text[start:]):
        return None
    return _Value(flag, text[start:], word, start, server)


def _of_error(error: ArgumentError, server: Server) -> _Problem | None:
    """What an error of the parser says of a JSON flag; None when it is about something else."""
    spec = flag_table(server.release).get(error.flag) if error.flag else None
    if spec is None or error.stage != "parse" or error.kind not in {"invalid_value", "exception", "usage"}:
        return None
    if spec.name != "--lora-modules" and spec.type not in _JSON_TYPES:
        return None
    setting = server.arguments.settings.get(spec.key)
    settings = [
        one for one in server.arguments.occurrences if one.name == spec.key and error.word in one.value_words
    ]
    setting = settings[0] if settings else setting
    if setting is None:
        return None
    if setting.dotted or setting.from_config:
        return _of_parts(error, setting, server)
    for number, word in enumerate(setting.value_words):
        start = setting.value_span[0] if number == 0 and setting.value_span is not None else 0
        value = _value(spec.name, word, start, server)
        problem = (
            _of_value(value, error, server, spec.name == "--lora-modules") if value is not None else None
        )
        if problem is not None:
            return problem
    return None


def _of_value(value: _Value, error: ArgumentError, server: Server, lora: bool) -> _Problem | None:
    """What is wrong with one value: its syntax, else its keys and types."""
    if lora and "=" in value.text and "," not in value.text:
        return None
    quotes = _shell_quotes(value)
    if quotes is not None:
        return quotes
    refused = _VALIDATION.search(error.message)
    if refused is not None and not refused["text"].startswith("Invalid JSON"):
        return _schema(value, refused, server)
    try:
        loaded = json.loads(value.text)
    except RecursionError:
        return None
    except ValueError as problem:
        return _syntax(value, problem.pos if isinstance(problem, json.JSONDecodeError) else 0, server)
    if lora:
        complete = isinstance(loaded, dict) and {"name", "path"} <= loaded.keys()
        fact = f"`{value.flag}` wants an object with `name` and `path`"
        example = 'Write `{"name": "sql", "path": "/adapters/sql"}`, or `sql=/adapters/sql`.'
        return None if complete else _Problem(value.whole, fact, example, "no name or no path", syntax=False)
    spot = _locate(value.text, ("cudagraph_mode",)) if "KeyError" in error.message else None
    place = value.whole if spot is None else value.place(*spot[1])
    return _Problem(place, f"`{value.flag}` does not take this value", _LOOK_UP, "not taken", syntax=False)


def _schema(value: _Value, refused: re.Match[str], server: Server) -> _Problem:
    """JSON that the flag's class does not take."""
    if refused["path"] is None:
        key = "mode" if server.release.at_least("0.11.1") else "level"
        level = value.flag == "--compilation-config" and value.text.strip().isdigit()
        advice = f'Write `{{"{key}": {value.text.strip()}}}`.' if level else "Write `{…}` with the keys."
        fact = f"`{value.flag}` wants a JSON object" + (
            ", a bare level was taken up to 0.8.5" if level else ""
        )
        return _Problem(value.whole, fact, advice, "no object", syntax=False)
    path = tuple(refused["path"].split("."))
    spot = _locate(value.text, path)
    keyword = refused["text"].startswith("Unexpected keyword")
    place = value.whole if spot is None else value.place(*spot[0 if keyword else 1])
    return _refusal(place, value.flag, path, refused, server)


def _refusal(
    place: Place, flag: str, path: tuple[str, ...], refused: re.Match[str], server: Server
) -> _Problem:
    """The words for a key or a value that a flag's class does not take."""
    text, dotted = refused["text"], ".".join(path)
    if text.startswith("Unexpected keyword"):
        fields = config_fields(refused["name"], server.release) or {}
        near = get_close_matches(path[-1], list(fields), 1) if len(path) == 1 else []
        advice = f"Write `{near[0]}`." if near else "Remove the key."
        fact = f"`{flag}` of vLLM {server.release} has no key `{dotted}`"
        return _Problem(place, fact, advice, "unknown key", syntax=False)
    if text.startswith("Input should be "):
        wanted = text.removeprefix("Input should be ").partition(" (input_value")[0]
        fact = f"`{dotted}` in `{flag}` must be {wanted}"
        return _Problem(place, fact, f"Write {wanted}.", "wrong type", syntax=False)
    return _Problem(place, f"`{flag}` is refused ({text})", _LOOK_UP, "refused", syntax=False)


def _of_parts(error: ArgumentError, setting: Setting, server: Server) -> _Problem | None:
    """What is wrong with a value that is written with dotted keys, or stands in the `--config` file."""
    refused = _VALIDATION.search(error.message)
    flag = setting.spec.name if setting.spec is not None else setting.spelling
    place = server.value_place(setting)
    if refused is None or refused["path"] is None:
        wrong = "does not take this value" if refused is None else "wants a JSON object"
        return _Problem(place, f"`{flag}` {wrong}", _LOOK_UP, "not taken", syntax=False)
    path = tuple(refused["path"].split("."))
    part = next((one for one in setting.dotted if path[: len(one.path)] == one.path), None)
    if part is not None and refused["text"].startswith("Unexpected keyword"):
        place = server.word_place(part.flag_word, *part.flag_span)
    elif part is not None:
        place = server.word_place(part.value_word, *part.value_span)
    return _refusal(place, flag, path, refused, server)


def _shell_quotes(value: _Value) -> _Problem | None:
    """Quotes of a shell around the JSON, where no shell takes them off."""
    text = value.text.strip()
    if len(text) < 3 or text[0] != text[-1] or text[0] not in "'\"" or not _is_structure(text[1:-1]):
        return None
    first = value.text.index(text[0])
    last = first + len(text) - 1
    edits = (Edit(value.place(first, first + 1), ""), Edit(value.place(last, last + 1), ""))
    return _Problem(
        value.whole,
        f"no shell takes the outer quotes off: they are part of the value, and `{value.flag}` gets no JSON",
        "Remove them: in YAML one pair of single quotes around the whole list element is enough.",
        "quotes too many",
        fix=Fix("remove the quotes", edits, safe=True),
    )


def _is_structure(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _syntax(value: _Value, at: int, server: Server) -> _Problem:
    """A value that is no JSON, with the first character that is wrong."""
    text, flag = value.text, value.flag
    word = server.invocation.words[value.word]
    written = word.scalar.text[word.start : word.end]
    if server.invocation.script is not None and '"' in written and '"' not in text:
        fact = f"the shell takes the double quotes away, so `{flag}` gets no JSON"
        return _Problem(
            value.whole, fact, f"Put single quotes around it: `{flag} '{{…}}'`.", "quotes are lost"
        )
    if _KEY_VALUES.match(text):
        fact = f"`{flag}` wants JSON, not `key=value`"
        if flag == "--limit-mm-per-prompt":
            fact = f"`{flag}` takes no `key=value` from 0.10.0 on, only JSON"
        return _Problem(value.whole, fact, f"Write `'{_as_json(text)}'`.", "no JSON")
    match = _TOKEN.match(text, at)
    token = match.group() if match is not None else ""
    if not token:
        end = len(text.rstrip())
        return _Problem(
            value.place(max(end - 1, 0), end) if end else value.whole,
            f"`{flag}` gets no JSON, for the value {'ends too early' if end else 'is empty'}",
            "Close the quotes and brackets, and quote the whole value so that it stays in one piece.",
            "ends too early",
        )
    fact, advice, label = _wrong_token(text, at, token)
    return _Problem(value.place(at, at + len(token)), f"`{flag}` gets no JSON, for {fact}", advice, label)


def _wrong_token(text: str, at: int, token: str) -> tuple[str, str, str]:
    """What is wrong at a place, what to write there, and a label."""
    if token == "'":
        return "JSON knows double quotes only", "Write `\"` for `'` inside the value.", "single quote"
    if token in {"True", "False", "None"}:
        word = {"True": "true", "False": "false", "None": "null"}[token]
        return f"`{token}` is Python", f"Write `{word}`.", f"JSON: {word}"
    if text[:at].rstrip().endswith(",") and token in "}]":
        return "there is a comma too many", "Remove the comma.", "comma before it"
    if re.fullmatch(r"[A-Za-z_][\w-]*", token):
        return f"`{token}` has no double quotes", f'Write `"{token}"`.', "no quotes"
    if _is_structure(text[:at]):
        return (
            "there is more after the value",
            "Quote the whole value so that it is one argument.",
            "too much",
        )
    return (
        f"`{token}` is not expected here",
        "Check the quotes, commas and brackets around it.",
        "not expected",
    )


def _as_json(text: str) -> str:
    pairs = (item.partition("=") for item in text.split(","))
    return json.dumps({key.strip(): int(one) if one.strip().isdigit() else one for key, _, one in pairs})


def _locate(text: str, path: tuple[str, ...]) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Where a key (without quotes) and its value stand in JSON text; None when it is not found."""
    decoder, at = json.JSONDecoder(), 0
    for depth, wanted in enumerate(path):
        spot = _member(decoder, text, at, wanted)
        if spot is None or depth == len(path) - 1:
            return spot
        at = spot[1][0]
    return None


def _member(
    decoder: json.JSONDecoder, text: str, at: int, wanted: str
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """One member of the object that starts at `at`."""
    at = _skip(text, at)
    if text[at : at + 1] != "{":
        return None
    at = _skip(text, at + 1)
    try:
        while text[at : at + 1] == '"':
            key, after = decoder.raw_decode(text, at)
            start = _skip(text, _skip(text, after) + 1)
            _, end = decoder.raw_decode(text, start)
            if key == wanted:
                return (at + 1, after - 1), (start, end)
            at = _skip(text, end)
            at = _skip(text, at + 1) if text[at : at + 1] == "," else len(text)
    except (ValueError, RecursionError):
        pass
    return None


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at
