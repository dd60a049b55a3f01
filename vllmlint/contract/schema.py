"""The JSON Schema of a contract file, for editors and other tools."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from typing import Any

from vllmlint.contract import settings
from vllmlint.contract.load import contract_adapter
from vllmlint.contract.settings import camel_case

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ID = "https://vllmlint.dev/schemas/contract.schema.json"


def contract_json_schema() -> dict[str, Any]:
    """The schema of `vllmlint.yaml`, draft 2020-12; it also holds for `[tool.vllmlint]`."""
    generated = contract_adapter().json_schema()
    definitions = {name: _described(name, part) for name, part in sorted(generated.pop("$defs").items())}
    contract = _described("Contract", generated)
    contract["title"] = "vllmlint contract"
    return {"$schema": _DIALECT, "$id": _ID, **contract, "$defs": definitions}


def _described(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A class's schema with its fields' descriptions, and null allowed wherever a default exists."""
    texts = field_texts()[name]
    required = set(schema.get("required", ()))
    properties = {}
    for key, part in schema["properties"].items():
        value = {word: content for word, content in part.items() if word != "title"}
        if "additionalProperties" in value and isinstance(value["additionalProperties"], dict):
            value["additionalProperties"] = _or_null(value["additionalProperties"])
        if key not in required:
            value = _or_null(value)
        properties[key] = {"description": texts[key], **value}
    return {**schema, "properties": properties}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, or null: a key without a value is a key that is not there."""
    options = schema.get("anyOf")
    if options is not None:
        if {"type": "null"} in options:
            return schema
        return {**schema, "anyOf": [*options, {"type": "null"}]}
    default = {"default": schema["default"]} if "default" in schema else {}
    plain = {word: content for word, content in schema.items() if word != "default"}
    return {"anyOf": [plain, {"type": "null"}], **default} if plain else schema


@cache
def field_texts() -> dict[str, dict[str, str]]:
    """The text under each field, by class and by the key's spelling in a file."""
    texts: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(settings)).body:
        if isinstance(node, ast.ClassDef):
            texts[node.name] = dict(_texts_of(node))
    return texts


def _texts_of(node: ast.ClassDef) -> list[tuple[str, str]]:
    found = []
    for item, below in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(item, ast.AnnAssign)
            and isinstance(item.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found.append(
                (camel_case(item.target.id), inspect.cleandoc(str(below.value.value)).replace("\n", " "))
            )
    return found
