"""`inspect`, `explain`, `rules`, `schema`, `init`, and the program itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runs import FOUNDING, MOVING, call, process

from vllmlint.rulebook import all_rules
from vllmlint.version import __version__


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with one server."""
    (tmp_path / "moving.yaml").write_text(MOVING)
    return tmp_path


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.name)
def test_every_rule_is_explained(tmp_path: Path, rule: object) -> None:
    name, rule_id = rule.name, rule.id  # type: ignore[attr-defined]
    done = call(tmp_path, "explain", name)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{name} ({rule_id}), ")
    for part in ("\n\nWhy\n    ", "\n\nWhat to write\n    ", f"# vllmlint: ignore[{name}] reason"):
        assert part in done.out
    assert call(tmp_path, "explain", rule_id.lower()).out == done.out


def test_a_rule_that_nobody_knows(tmp_path: Path) -> None:
    done = call(tmp_path, "explain", "image-tag-floting")
    assert (done.code, done.out) == (2, "")
    assert "did you mean image-tag-floating?" in done.err
    assert "`vllmlint rules` lists them" in call(tmp_path, "explain", "zzz").err


def test_rules_as_json(tmp_path: Path) -> None:
    done = call(tmp_path, "rules", "--format", "json")
    report = json.loads(done.out)
    assert report["schema_version"] == "1"
    assert [row["id"] for row in report["rules"]] == [rule.id for rule in all_rules()]
    keys = (
        "id",
        "name",
        "section",
        "severity",
        "since",
        "subject",
        "summary",
        "recommended",
        "options",
        "url",
    )
    assert set(report["rules"][0]) == set(keys)


def test_rules_as_a_table(tmp_path: Path) -> None:
    done = call(tmp_path, "rules")
    assert done.code == 0
    assert all(rule.id in done.out and rule.name in done.out for rule in all_rules())
    assert call(tmp_path, "rules", "--format", "xml").code == 2


@pytest.mark.parametrize("name", ["contract", "report", "fit", "rule"])
def test_schemas(tmp_path: Path, name: str) -> None:
    from jsonschema.validators import validator_for

    done = call(tmp_path, "schema", name)
    assert done.code == 0
    schema = json.loads(done.out)
    validator_for(schema).check_schema(schema)
    assert name in schema["title"].lower() or "$id" in schema


def test_a_schema_that_is_not_there(tmp_path: Path) -> None:
    done = call(tmp_path, "schema", "nothing")
    assert (done.code, done.out) == (2, "")
    assert "contract, report, fit, rule" in done.err


def test_a_report_meets_its_schema(project: Path) -> None:
    from jsonschema import validate

    schema = json.loads(call(project, "schema", "report").out)
    validate(json.loads(call(project, "check", ".", "--format", "json").out), schema)


def test_inspect(project: Path) -> None:
    done = call(project, "inspect", "moving.yaml", "--format", "json")
    (server,) = json.loads(done.out)["servers"]
    assert (done.code, server["model"]["id"]) == (0, "org/model")
    text = call(project, "inspect", ".")
    assert "Pod/llama container vllm (moving.yaml)" in text.out
    assert "org/model (positional)" in text.out
    assert "tensor 1, pipeline 1, data 1" in text.out
    assert "tensor_parallel_size" not in text.out
    assert "tensor_parallel_size = 1 (default of vLLM" in call(project, "inspect", ".", "--defaults").out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["missing.yaml"], 2),
        ([], 2),
        ([".", "--format", "xml"], 2),
        ([".", "--contract", "missing.yaml"], 2),
        (["-", "--format", "json"], 0),
    ],
)
def test_calls_of_inspect(project: Path, arguments: list[str], code: int) -> None:
    done = call(project, "inspect", *arguments, stdin=MOVING)
    assert done.code == code
    assert bool(done.err) is (code == 2)


def test_inspect_without_a_server(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: [\n")
    done = call(tmp_path, "inspect", "x.yaml")
    assert (done.code, done.out) == (0, "no vLLM server found\n")
    assert "x.yaml:1: the document is not valid YAML" in done.err


def test_init_writes_a_contract_that_holds(tmp_path: Path) -> None:
    (tmp_path / "deployment.yaml").write_bytes((FOUNDING / "right" / "deployment.yaml").read_bytes())
    done = call(tmp_path, "init")
    assert done.code == 0
    assert done.out == "wrote vllmlint.yaml from 1 file with 1 vLLM server\n"
    checked = call(tmp_path, "check", ".", "--format", "json")
    assert (checked.code, checked.err) == (0, "")
    assert [row["name"] for row in json.loads(checked.out)["findings"] if row["severity"] == "error"] == []


def test_init_replaces_nothing_unasked(project: Path) -> None:
    (project / "vllmlint.yaml").write_text("failOn: info\n")
    refused = call(project, "init")
    assert (refused.code, (project / "vllmlint.yaml").read_text()) == (2, "failOn: info\n")
    assert "--force" in refused.err
    printed = call(project, "init", "-o", "-")
    assert printed.code == 0
    assert printed.out.startswith("# What the deployments here promise")
    assert call(project, "init", "--force").code == 0
    assert (project / "vllmlint.yaml").read_text("utf-8") == printed.out
    assert call(project, "check", ".", "--exit-zero").code == 0


def test_calls_of_init(project: Path) -> None:
    assert call(project, "init", "missing").code == 2
    assert call(project, "init", "-o", "no/such/dir/x.yaml").code == 2
    other = call(project, "init", "moving.yaml", "-o", "other.yaml")
    assert (other.code, (project / "other.yaml").exists()) == (0, True)


def test_init_writes_pools_from_real_nodes(tmp_path: Path) -> None:
    nodes = FOUNDING.parent / "nodes" / "gke.yaml"
    (tmp_path / "nodes.yaml").write_bytes(nodes.read_bytes())
    (tmp_path / "deployment.yaml").write_bytes((FOUNDING / "right" / "deployment.yaml").read_bytes())
    done = call(tmp_path, "init", "--nodes", "nodes.yaml")
    assert (done.code, done.err) == (0, "")
    assert done.out == "wrote vllmlint.yaml from 1 file with 1 vLLM server and 4 nodes, 3 of them with GPUs\n"
    assert "  l4-pool:\n" in (tmp_path / "vllmlint.yaml").read_text("utf-8")
    assert call(tmp_path, "check", "deployment.yaml", "--exit-zero").code == 0
    printed = call(tmp_path, "init", "--nodes", "-", "-o", "-", stdin=nodes.read_bytes())
    assert "  l4-pool:\n" in printed.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read nodes.yaml: No such file or directory"),
        ("kind: Pod\nmetadata: {name: a}\n", "nodes.yaml: no Node is in there"),
        ('{"items": [{"kind": "Node"}]}', "nodes.yaml:1: metadata.name is missing"),
        ("a: [\n", "nodes.yaml:2:1: no YAML"),
    ],
)
def test_init_with_a_file_that_holds_no_nodes(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "nodes.yaml").write_text(text, "utf-8")
    done = call(tmp_path, "init", "--nodes", "nodes.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"vllmlint: {message}")
    assert not (tmp_path / "vllmlint.yaml").exists()


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version(tmp_path: Path, option: str) -> None:
    assert call(tmp_path, option).out == f"vllmlint {__version__}\n"
    assert process(tmp_path, option).out == f"vllmlint {__version__}\n"


def test_help(tmp_path: Path) -> None:
    for arguments in (["--help"], ["-h"]):
        done = call(tmp_path, *arguments)
        assert done.code == 0
        for command in ("check", "inspect", "explain", "rules", "schema", "init"):
            assert command in done.out
    assert "--stdin-filename" in call(tmp_path, "check", "--help", env={"COLUMNS": "200"}).out


def test_shell_completion_is_offered(tmp_path: Path) -> None:
    text = call(tmp_path, "--help").out
    assert "--install-completion" in text
    assert "--show-completion" in text
    done = process(tmp_path, _VLLMLINT_COMPLETE="complete_bash", COMP_WORDS="vllmlint ins", COMP_CWORD="1")
    assert "inspect" in done.out.split()


def test_under_the_name_of_a_kubectl_plugin(tmp_path: Path) -> None:
    done = process(tmp_path, "check", "--help", name="/usr/bin/kubectl-vllmlint")
    assert "Usage: kubectl vllmlint check" in done.out
    (tmp_path / "m.yaml").write_text(MOVING)
    found = process(tmp_path, "check", "m.yaml", "--format", "github", name="kubectl-vllmlint")
    assert found.code == 1
    assert found.out.startswith("::")


def test_both_names_are_installed() -> None:
    import tomllib

    project = tomllib.loads((FOUNDING.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(project["scripts"]) == {"vllmlint", "kubectl-vllmlint"}
