"""From the text of a flag's value to the Python value vLLM's converters make of it."""

from __future__ import annotations

import ast
import json
import math
import re
from typing import Any, Final

from vllmlint.regex import regex
from vllmlint.serving.arg_config_objects import check_object
from vllmlint.serving.arg_errors import RefusedValueError, choose
from vllmlint.serving.flag_tables import FlagSpec, FlagTable

_HUMAN: Final = regex(r"(\d+(?:\.\d+)?)([kKmMgGtT])")
_FACTORS: Final = {
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "K": 2**10,
    "M": 2**20,
    "G": 2**30,
    "T": 2**40,
}
_OBJECT: Final = regex(r"(?s)\s*{.*}\s*")
#: A bare `80g` in JSON text, between the strings.
_BARE_HUMAN: Final = regex(r'("(?:[^"\\]|\\.)*")|(?<![\w.])(\d+(?:\.\d+)?[kKmMgGtT])(?![\w.])')


def human_int(text: str, tera: bool = True) -> int:
    """`32k` -> 32000, `32K` -> 32768, plain integers as they are; ValueError otherwise."""
    stripped = text.strip()
    match = _HUMAN.fullmatch(stripped)
    if match is None or (match[2] in "tT" and not tera):
        return int(stripped)
    number, suffix = match.groups()
    if suffix.islower():
        value = float(number) * _FACTORS[suffix]
        if value == math.inf:
            raise ValueError("cannot convert float infinity to integer")
        return int(value)
    if "." in number:
        raise RefusedValueError(
            "invalid_value",
            f"Decimals are not allowed with binary suffixes like {suffix}. "
            f"Did you mean to use {number}{suffix.lower()} instead?",
        )
    return int(number) * _FACTORS[suffix]


def _integer(spec: FlagSpec, text: str, table: FlagTable) -> int:
    if not spec.human:
        return int(text)
    if spec.human == "int_or_auto" and text.strip().lower() in ("auto", "-1"):
        return -1
    return human_int(text, table.parser.human_tera)


def _number(spec: FlagSpec, text: str, kind: str, table: FlagTable) -> Any:
    """An int or a float; the wording of the error tells optional values from plain ones."""
    try:
        return _integer(spec, text, table) if kind == "int" else float(text)
    except ValueError:
        pass
    name = {"int": "human_readable_int", "int_or_auto": "human_readable_int_or_auto"}.get(spec.human, kind)
    if spec.nullable and not spec.human:
        raise RefusedValueError("invalid_value", f"Value {text} cannot be converted to <class '{kind}'>.")
    raise RefusedValueError("invalid_value", f"invalid {name} value: {text!r}")


def _load_json(spec: FlagSpec, text: str, table: FlagTable) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if spec.schema and table.parser.json_human_int:
        try:
            return json.loads(_BARE_HUMAN.sub(_expand_human, text))
        except (ValueError, RecursionError):
            pass
    if spec.schema:
        reason = f"1 validation error for {spec.schema}: Invalid JSON"
    elif spec.config == "FrontendArgs" or not spec.config:
        reason = f"invalid loads value: {text!r}"
    else:
        reason = f"Value {text} cannot be converted to <function loads>."
    raise RefusedValueError("invalid_value", reason)


def _expand_human(match: re.Match[str]) -> str:
    if match[1] is not None:
        return match[1]
    try:
        return str(human_int(match[2]))
    except RefusedValueError:
        return match[2]


def _key_values(text: str) -> dict[str, int]:
    """`image=2,video=1`; keys are lowered."""
    result: dict[str, int] = {}
    for item in text.split(","):
        key, equals, number = (part.lower().strip() for part in item.partition("="))
        if not equals:
            raise RefusedValueError("invalid_value", "Each item should be in the form KEY=VALUE")
        try:
            value = int(number)
        except ValueError:
            raise RefusedValueError(
                "invalid_value", f"Failed to parse value of item {key}={number}"
            ) from None
        if result.setdefault(key, value) != value:
            raise RefusedValueError("invalid_value", f"Conflicting values specified for key: {key}")
    return result


def _literal_config(spec: FlagSpec, text: str) -> Any:
    """A compilation config up to 0.8.5: a bare level, or a Python literal of a dictionary."""
    if text in ("0", "1", "2", "3"):
        return {"level": int(text)}
    try:
        value = ast.literal_eval(text)
    except SyntaxError as error:
        raise RefusedValueError("exception", f"SyntaxError: {error}", bare=True) from None
    except (ValueError, TypeError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RefusedValueError("invalid_value", f"invalid from_cli value: {text!r}")
    return value


def _json(spec: FlagSpec, text: str, table: FlagTable) -> Any:
    if spec.schema == "CompilationConfig" and not table.parser.dotted_json:
        return _literal_config(spec, text)
    if spec.kv and not _OBJECT.fullmatch(text):
        return _key_values(text)
    value = _load_json(spec, text, table)
    if spec.schema and not isinstance(value, dict):
        raise RefusedValueError(
            "invalid_value", f"1 validation error for {spec.schema}: Input should be an object ({value!r})"
        )
    if spec.schema:
        check_object(spec.schema, value, table)
    return value


def _element(spec: FlagSpec, text: str, kind: str, table: FlagTable) -> Any:
    """One value before its choices are checked."""
    if spec.nullable and (text == "" or (text == "None" and spec.type != "kv")):
        return None
    if kind in ("int", "float"):
        return _number(spec, text, kind, table)
    if kind == "json":
        return _json(spec, text, table)
    if kind == "json_or_str":
        return _load_json(spec, text, table) if _OBJECT.fullmatch(text) else text
    if kind == "kv":
        return _key_values(text)
    return _text(spec, text)


def _text(spec: FlagSpec, text: str) -> Any:
    """A string, in the form that a flag's own converter gives it (see `note` in the tables)."""
    if not spec.note:
        return text
    if spec.note.startswith("case-insensitive"):
        return text.lower().replace("-", "_")
    if spec.note.startswith("comma-separated"):
        parts = [part.strip() for part in text.split(",")]
        return [int(part) if part.isdigit() else part for part in parts]
    if spec.note.startswith("takes a value"):
        return bool(text)
    return text


def convert(spec: FlagSpec, text: str, table: FlagTable) -> Any:
    """The value of one word for `spec`; raises RefusedValueError with argparse's words when it is refused."""
    kind = spec.item or "str" if spec.type in ("list", "choice") else spec.type
    value = _element(spec, text, kind, table)
    if spec.choices and value not in spec.choices and not (value is None and spec.nullable):
        raise RefusedValueError("invalid_choice", choose(value, spec.choices))
    return value


def store_boolean(text: str) -> bool:
    """The value of an old `--flag true` switch; another text is a traceback."""
    lowered = text.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    raise RefusedValueError(
        "exception", f"ValueError: Invalid boolean value: {text}. Expected 'true' or 'false'.", bare=True
    )


def lora_module(text: str, table: FlagTable) -> dict[str, Any] | None:
    """One `--lora-modules` item (`name=path` or JSON); None for an empty one, which is skipped."""
    if not text:
        return None
    if "=" in text and "," not in text:
        # Paths with a `=`: refused by 0.28.0, taken by 0.33.0; what is between was not checked.
        parts = text.split("=", 1 if table.release.at_least("0.29.0") else -1)
        if len(parts) != 2:
            raise RefusedValueError(
                "exception", "ValueError: too many values to unpack (expected 2)", bare=True
            )
        return {"name": parts[0], "path": parts[1]}
    try:
        module = json.loads(text)
    except ValueError:
        raise RefusedValueError(
            "usage", f"Invalid JSON format for --lora-modules: {text}", bare=True
        ) from None
    if not isinstance(module, dict):
        raise RefusedValueError("invalid_value", f"Invalid fields for --lora-modules: {text}", bare=True)
    if not {"name", "path"} <= module.keys():
        raise RefusedValueError("usage", f"Invalid fields for --lora-modules: {text}", bare=True)
    return module


def prompt_adapter(text: str) -> dict[str, Any] | None:
    """One `--prompt-adapters` item, `name=path`; None for an empty one, which is skipped."""
    if not text:
        return None
    parts = text.split("=")
    if len(parts) != 2:
        few = len(parts) < 2
        reason = "not enough values to unpack (expected 2, got 1)" if few else "too many values to unpack"
        raise RefusedValueError("exception", f"ValueError: {reason}", bare=True)
    return {"name": parts[0], "local_path": parts[1]}
