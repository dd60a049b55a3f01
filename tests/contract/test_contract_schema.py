"""The JSON Schema, and that it says of a contract what the loader says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from contract_samples import DOCS, parse
from jsonschema import Draft202012Validator

from vllmlint.contract.schema import contract_json_schema
from vllmlint.resources import resource

_EXAMPLE, _EXTENDING = re.findall(r"```yaml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
_TOML = re.findall(r"```toml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)[0]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return contract_json_schema()


def data_of(text: str) -> Any:
    """A contract as an editor hands it to a schema: dates and everything else as JSON has them."""
    return json.loads(json.dumps(yaml.safe_load(text), default=str)) or {}


def test_shipped_schema_is_up_to_date(schema: dict[str, Any]) -> None:
    shipped = resource("schemas", "contract.schema.json").read_text("utf-8")
    assert json.loads(shipped) == schema, "run `python scripts/build_schemas.py`"
    assert shipped == json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def test_schema_is_valid_and_described(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    for part in (schema, *schema["$defs"].values()):
        assert part["additionalProperties"] is False
        assert part["description"]
        assert all(value["description"] for value in part["properties"].values())


def test_documented_example_is_valid(schema: dict[str, Any]) -> None:
    loaded = parse(_EXAMPLE)
    assert not loaded.problems
    Draft202012Validator(schema).validate(data_of(_EXAMPLE))


def test_documented_example_has_every_key(schema: dict[str, Any]) -> None:
    page = DOCS.read_text("utf-8")
    for part in (schema, *schema["$defs"].values()):
        for key in part["properties"]:
            assert re.search(rf"\b{key}\b.*\|", page), f"{key} is missing in the table of docs/contract.md"
            assert key == "extends" or re.search(rf"\b{key}:", _EXAMPLE), key


def test_other_documented_examples() -> None:
    base = "nodePools: {a100: {nodes: 4, gpu: nvidia-a100-80gb-sxm}, h100: {nodes: 1}}"
    loaded = parse(_EXTENDING, "team/vllmlint.yaml", {"platform/vllmlint.yaml": base})
    assert loaded.contract is not None
    assert list(loaded.contract.node_pools) == ["a100"]
    assert loaded.contract.node_pools["a100"].gpu == "nvidia-a100-80gb-sxm"
    toml = parse(_TOML, "pyproject.toml")
    assert toml.contract is not None
    assert toml.contract.rules.severity == {"image-tag-floating": "error"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "images:\nrules:\nmodels:\n",
        "nodePools: {a: {cpu: 96, memory: 1.5Ti, gpuMemoryGib: 80}, b: null}",
        "extends: []",
        "rules: {options: {image-tag-floating: {limit: 5}}, perPath: [{paths: [a], select: []}]}",
        "vllm: {release: 0.11.0rc2}",
        "serving: {minConcurrency: 1}",
    ],
)
def test_schema_takes_what_the_loader_takes(schema: dict[str, Any], text: str) -> None:
    assert not parse(text).problems
    assert not list(Draft202012Validator(schema).iter_errors(data_of(text)))


@pytest.mark.parametrize(
    "text",
    [
        "nodepools: {}",
        "failOn: never",
        "failOn: 3",
        "models: [{revision: abc}]",
        "models: {id: a}",
        "vllm: {release: v0.33.0}",
        "nodePools: {a: {cpu: lots}}",
        "nodePools: {a: {nodes: -1}}",
        "nodePools: {a: {gpuMemoryGib: 0}}",
        "nodePools: {a: {nodes: 1.5}}",
        "nodePools: {a: {nodes: '4'}}",
        "images: {releases: [{match: '', vllm: 0.33.0}]}",
        "rules: {requireReason: 1}",
        "environments: {a: {nodePools: []}}",
    ],
)
def test_schema_refuses_what_the_loader_refuses(schema: dict[str, Any], text: str) -> None:
    assert parse(text).problems
    assert list(Draft202012Validator(schema).iter_errors(data_of(text)))
