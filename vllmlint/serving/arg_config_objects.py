"""Checks the JSON of a flag against the config class that vLLM reads it into while parsing.

Source: `schemas/vllm/config.json`, built by `scripts/build_vllm_config_tables.py` from the config
classes of some releases. Between two of them a key counts as known when either has it, and a type is
checked only where both agree, so nothing is called wrong that was not seen to be.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from functools import cache
from typing import Any

from vllmlint.resources import resource
from vllmlint.serving.arg_errors import RefusedValueError
from vllmlint.serving.flag_tables import FlagTable
from vllmlint.serving.release import Release

#: What pydantic reads as a boolean besides true and false.
_BOOLEAN_TEXTS = frozenset({"0", "1", "f", "t", "n", "y", "no", "yes", "off", "on", "false", "true"})
#: Up to 0.8.5 this class alone refused unknown keys; these it had.
_OLD_POOLER_KEYS = frozenset({"pooling_type", "normalize", "softmax", "step_tag_id", "returned_token_ids"})

#: Field -> what it takes, as the build script writes it; None when the releases around do not agree.
Fields = dict[str, "list[Any] | None"]


@cache
def _file() -> tuple[tuple[Release | None, ...], dict[str, list[list[Any]]]]:
    loaded = json.loads(resource("schemas", "vllm", "config.json").read_text("utf-8"))
    return tuple(Release.parse(version) for version in loaded["releases"]), loaded["classes"]


def _fields_at(name: str, index: int) -> Fields | None:
    for first, last, fields in _file()[1].get(name, ()):
        if first <= index <= last:
            found: Fields = fields
            return found
    return None


@cache
def config_fields(name: str, release: Release) -> Fields | None:
    """The fields of a config class in a release; None when nothing certain is known of the class then."""
    releases = [each for each in _file()[0] if each is not None]
    below, above = bisect_right(releases, release) - 1, bisect_left(releases, release)
    older = _fields_at(name, below) if below >= 0 else None
    newer = _fields_at(name, above) if above < len(releases) else older
    if below < 0 or older is None or newer is None:
        return None
    keys = older.keys() | newer.keys()
    return {key: older[key] if key in older and older[key] == newer.get(key) else None for key in keys}


def check_object(schema: str, value: dict[str, Any], table: FlagTable) -> None:
    """Raise RefusedValueError when the class `schema` does not take `value` in the table's release."""
    release = table.release
    if not table.parser.dotted_json:
        _check_old(schema, value, release)
        return
    if schema == "PoolerConfig" and not release.at_least("0.11.0"):
        # Read as a plain dataclass then: neither keys nor types are checked.
        return
    strict = release.at_least("0.16.0") or (schema == "CompilationConfig" and release.at_least("0.13.0"))
    _check_fields(schema, schema, value, "", release, strict)
    _check_together(schema, value)
    if schema == "AttentionConfig":
        _check_backend(value, table)


def _check_old(schema: str, value: dict[str, Any], release: Release) -> None:
    """What the hand-written readers up to 0.8.5 refused."""
    if schema == "PoolerConfig" and not value.keys() <= _OLD_POOLER_KEYS:
        raise RefusedValueError("invalid_value", f"invalid from_json value: {json.dumps(value)!r}")
    # The first releases knew one connector only.
    one_connector = schema == "KVTransferConfig" and not release.at_least("0.7.0")
    if one_connector and value.get("kv_connector") not in (None, "PyNcclConnector"):
        raise RefusedValueError("invalid_value", f"invalid from_cli value: {json.dumps(value)!r}")


def _refuse(schema: str, path: str, text: str) -> RefusedValueError:
    return RefusedValueError("invalid_value", f"1 validation error for {schema}: {path}: {text}")


def _check_fields(
    schema: str, name: str, value: dict[str, Any], prefix: str, release: Release, strict: bool
) -> None:
    fields = config_fields(name, release)
    if fields is None:
        return
    for key, item in value.items():
        path = prefix + key
        if key not in fields:
            if strict:
                raise _refuse(schema, path, "Unexpected keyword argument")
            continue
        kinds = fields[key]
        if kinds is not None:
            _check_value(schema, kinds, item, path, release, strict)


def _check_value(
    schema: str, kinds: list[Any], value: Any, path: str, release: Release, strict: bool
) -> None:
    for kind in kinds:
        if isinstance(kind, dict) and "class" in kind and isinstance(value, dict):
            _check_fields(schema, kind["class"], value, path + ".", release, strict)
            return
    if any(_takes(kind, value) for kind in kinds):
        return
    enums = [kind["enum"] for kind in kinds if isinstance(kind, dict) and "enum" in kind]
    if enums and isinstance(value, str) and path == "cudagraph_mode":
        raise RefusedValueError("exception", f"KeyError: {value.upper()!r}", bare=True)
    raise _refuse(schema, path, f"Input should be {_wanted(kinds)} (input_value={value!r})")


def _takes(kind: Any, value: Any) -> bool:
    """Whether pydantic, which is lenient with numbers, takes a JSON value as this kind."""
    if isinstance(kind, dict):
        return _takes_member(kind, value)
    if kind == "any":
        return True
    if kind == "none":
        return value is None
    if kind == "str":
        return isinstance(value, str)
    if kind == "bool":
        return value in (0, 1) if not isinstance(value, str) else value.lower() in _BOOLEAN_TEXTS
    return _takes_number(kind, value)


def _takes_member(kind: dict[str, Any], value: Any) -> bool:
    if "choices" in kind:
        return not isinstance(value, list | dict) and value in kind["choices"]
    if "enum" in kind:
        # Numbers are values of the enum, which are not listed.
        return value.upper() in kind["enum"] if isinstance(value, str) else isinstance(value, int | float)
    return isinstance(value, dict)


def _takes_number(kind: str, value: Any) -> bool:
    if isinstance(value, str):
        try:
            float(value) if kind == "float" else int(value)
        except ValueError:
            return False
        return True
    if isinstance(value, float):
        return kind == "float" or value.is_integer()
    return isinstance(value, int)


def _wanted(kinds: list[Any]) -> str:
    names = []
    for kind in kinds:
        if isinstance(kind, dict):
            values: list[Any] = kind.get("choices") or kind.get("enum") or ["an object"]
            names += [repr(each) for each in values]
        elif kind != "none":
            names.append({"int": "a valid integer", "str": "a valid string"}.get(kind, f"a valid {kind}"))
    return " or ".join(names)


def _check_together(schema: str, value: dict[str, Any]) -> None:
    """Rules over several fields."""
    if schema in ("KVTransferConfig", "ECTransferConfig"):
        kind = schema[:2].lower()
        if value.get(f"{kind}_connector") is not None and value.get(f"{kind}_role") is None:
            text = f"Please specify {kind}_role when {kind}_connector is set"
            raise _refuse(schema, f"{kind}_role", text)
    if schema == "ProfilerConfig":
        torch = value.get("profiler") == "torch"
        folder = value.get("torch_profiler_dir")
        if folder and not torch:
            text = "torch_profiler_dir is only applicable when profiler is set to 'torch'"
            raise _refuse(schema, "torch_profiler_dir", text)
        if torch and not folder:
            raise _refuse(schema, "profiler", "torch_profiler_dir must be set when profiler is 'torch'")


def _check_backend(value: dict[str, Any], table: FlagTable) -> None:
    """The attention backend by name, as `--attention-backend` lists them."""
    backend = value.get("backend")
    flag = table.get("--attention-backend")
    if not isinstance(backend, str) or flag is None or not flag.known:
        return
    if backend.lower() != "auto" and backend.upper() not in flag.known:
        raise _refuse("AttentionConfig", "backend", f"Unknown attention backend: {backend!r}")
