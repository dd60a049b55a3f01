"""Contracts of several files, and contracts in a pyproject.toml."""

from __future__ import annotations

import pytest
from contract_samples import at, only_problem, parse

BASE = """\
failOn: info
images: {pin: digest, allowedRegistries: [one, two]}
models: [{id: a, config: configs/a.json}]
nodePools: {a100: {nodes: 4, labels: {x: "1", y: "2"}}, h100: {nodes: 2}}
environments: {all: {paths: ["**"]}}
"""


def test_mappings_merge_and_everything_else_is_replaced() -> None:
    text = (
        "extends: base.yaml\n"
        "images: {allowedRegistries: [three]}\n"
        "nodePools: {a100: {nodes: 1, labels: {y: '3'}}, h100: null}\n"
        "environments: {near: {paths: [a]}}\n"
    )
    loaded = parse(text, others={"base.yaml": BASE})
    contract = loaded.contract
    assert contract is not None
    assert contract.fail_on == "info"
    assert (contract.images.pin, contract.images.allowed_registries) == ("digest", ("three",))
    assert list(contract.node_pools) == ["a100"]
    pool = contract.node_pools["a100"]
    assert (pool.nodes, pool.labels) == (1, {"x": "1", "y": "3"})
    assert list(contract.environments) == ["near", "all"]
    assert contract.extends == "base.yaml"
    assert loaded.files == ("vllmlint.yaml", "base.yaml")


def test_later_base_is_stronger_and_bases_extend_too() -> None:
    others = {
        "x/one.yaml": "extends: ../zero.yaml\nfailOn: info\n",
        "x/two.yaml": "extends: [../zero.yaml]\nminConfidence: high\n",
        "zero.yaml": "failOn: warning\nminConfidence: medium\nvllm: {release: 0.33.0}\n",
    }
    loaded = parse("extends: [x/one.yaml, x/two.yaml]", others=others)
    assert loaded.contract is not None
    assert (loaded.contract.fail_on, loaded.contract.min_confidence) == ("warning", "high")
    assert loaded.contract.vllm.release == "0.33.0"
    assert loaded.files == ("vllmlint.yaml", "x/one.yaml", "zero.yaml", "x/two.yaml")


@pytest.mark.parametrize(
    ("path", "extends", "base", "expected"),
    [
        ("vllmlint.yaml", "shared/base.yaml", "shared/base.yaml", "shared/configs/a.json"),
        ("team/vllmlint.yaml", "../base.yaml", "base.yaml", "../configs/a.json"),
        ("../vllmlint.yaml", "shared/base.yaml", "../shared/base.yaml", "shared/configs/a.json"),
        ("/repo/vllmlint.yaml", "/etc/base.yaml", "/etc/base.yaml", "/etc/configs/a.json"),
        ("vllmlint.yaml", "base.yaml", "base.yaml", "configs/a.json"),
    ],
)
def test_model_config_is_relative_to_the_file_that_names_it(
    path: str, extends: str, base: str, expected: str
) -> None:
    loaded = parse(f"extends: {extends}", path, {base: BASE})
    assert loaded.contract is not None
    assert loaded.contract.models[0].config == expected


def test_problem_in_a_base_stands_in_the_base() -> None:
    problem = only_problem("extends: base.yaml", others={"base.yaml": "images:\n  pin: tag\n"})
    assert at(problem) == ("base.yaml", 2, 8, "tag")
    problem = only_problem("extends: base.yaml", others={"base.yaml": "images:\n  pinn: any\n"})
    assert at(problem) == ("base.yaml", 2, 3, "pinn")
    problem = only_problem("extends: base.yaml", others={"base.yaml": "images: ["})
    assert problem.place.source.path == "base.yaml"


def test_missing_file() -> None:
    problem = only_problem("extends:\n  - 'none.yaml'\n", "team/vllmlint.yaml")
    assert at(problem) == ("team/vllmlint.yaml", 2, 6, "none.yaml")
    assert "cannot be read, looked for at `team/none.yaml`" in problem.message


def test_address() -> None:
    problem = only_problem("extends: https://example.com/base.yaml")
    assert problem.message == "`extends` takes files, not the address `https://example.com/base.yaml`"


def test_cycle() -> None:
    others = {"a.yaml": "extends: b.yaml\n", "b.yaml": "extends: ./a.yaml\n"}
    problem = only_problem("extends: a.yaml", others=others)
    assert at(problem) == ("b.yaml", 1, 10, "./a.yaml")
    assert problem.message == "`./a.yaml` extends itself: a.yaml → b.yaml → a.yaml"
    assert at(only_problem("extends: vllmlint.yaml"))[3] == "vllmlint.yaml"


TOML = """\
[project]
name = "x"

[tool.vllmlint]
extends = "base.yaml"
vllm.release = "0.33.0"

[[tool.vllmlint.models]]
id = "a/b"
config = "c.json"

[[tool.vllmlint.models]]
id = "c/d"

[tool.vllmlint.nodePools.a100]
cpu = 96
gpuMemoryGib = 79.25
driver = 550.90
labels = {"x.example.com/y" = "z"}

[[tool.vllmlint.rules.perPath]]
paths = ["a/**"]
ignore = ["VL101"]
until = 2027-01-31
"""


def test_pyproject() -> None:
    contract = parse(TOML, "pyproject.toml", {"base.yaml": "failOn: info"}).contract
    assert contract is not None
    assert contract.fail_on == "info"
    assert contract.vllm.release == "0.33.0"
    assert [model.id for model in contract.models] == ["a/b", "c/d"]
    pool = contract.node_pools["a100"]
    assert (pool.cpu, pool.gpu_memory_gib, pool.driver) == ("96", 79.25, "550.90")
    assert pool.labels == {"x.example.com/y": "z"}
    assert str(contract.rules.per_path[0].until) == "2027-01-31"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('name = "x"', 'name = "x"', None),
        ("driver = 550.90", "drivers = 550.90", (18, 1, "drivers")),
        ("cpu = 96", "cpu = 'lots'", (16, 8, "lots")),
        ('id = "c/d"', 'id = "c/d"\nrevison = "x"', (14, 1, "revison")),
        ("[tool.vllmlint.nodePools.a100]", "[tool.vllmlint.nodepools.a100]", (15, 16, "nodepools")),
        ('ignore = ["VL101"]', 'ignore = ["VL101", "VL9"]', (23, 21, "VL9")),
        ('vllm.release = "0.33.0"', "vllm.release = true", (6, 16, "true")),
        ("until = 2027-01-31", "until = 2027-01-31T00:00:01", (24, 9, "2027-01-31T00:00:01")),
        ('extends = "base.yaml"', 'extends = "none.yaml"', (5, 12, "none.yaml")),
    ],
)
def test_places_in_pyproject(old: str, new: str, expected: tuple[int, int, str] | None) -> None:
    assert old in TOML
    text = TOML.replace(old, new)
    others = {"base.yaml": "failOn: info"}
    if expected is None:
        assert not parse(text, "pyproject.toml", others).problems
    else:
        assert at(only_problem(text, "pyproject.toml", others)) == ("pyproject.toml", *expected)


def test_pyproject_that_is_none() -> None:
    problem = only_problem("[tool.vllmlint]\nfailOn = \n", "pyproject.toml")
    assert "not valid TOML" in problem.message
    assert problem.place.line == 2
    assert "no table `[tool.vllmlint]`" in only_problem("[project]\n", "a/pyproject.toml").message
