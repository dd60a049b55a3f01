"""The nearest contract above a file rules it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from lint_samples import MANIFEST, inside, lint, names, write

from vllmlint.lint.contracts import ContractError, Contracts
from vllmlint.sources.files import SourceError

SELECT = "rules: {{select: [{}]}}\n"


def selected(contracts: Contracts, path: str) -> tuple[str, ...]:
    """What the contract of a file selects."""
    return contracts.view(path).contract.rules.select


def test_the_nearest_above_wins(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "vllmlint.yaml": SELECT.format("VL101"),
            "a/.vllmlint.yaml": SELECT.format("VL102"),
            "a/b/pyproject.toml": "[tool.vllmlint.rules]\nselect = ['VL103']\n",
            "a/c/pyproject.toml": "[tool.other]\n",
            "d/vllmlint.yaml": SELECT.format("VL104"),
            "d/.vllmlint.yaml": SELECT.format("VL105"),
        },
    )
    with inside(tmp_path):
        contracts = Contracts()
        found = {
            path: (*selected(contracts, path), contracts.view(path).relative_path)
            for path in (
                "m.yaml",
                "x/m.yaml",
                "a/m.yaml",
                "a/b/m.yaml",
                "a/b/x/m.yaml",
                "a/c/m.yaml",
                "d/m.yaml",
            )
        }
    assert found == {
        "m.yaml": ("VL101", "m.yaml"),
        "x/m.yaml": ("VL101", "x/m.yaml"),
        "a/m.yaml": ("VL102", "m.yaml"),
        "a/b/m.yaml": ("VL103", "m.yaml"),
        "a/b/x/m.yaml": ("VL103", "x/m.yaml"),
        "a/c/m.yaml": ("VL102", "c/m.yaml"),
        "d/m.yaml": ("VL104", "m.yaml"),
    }


def test_without_a_contract_the_default_holds(tmp_path: Path) -> None:
    with inside(tmp_path):
        contracts = Contracts()
        assert selected(contracts, "a/m.yaml") == ("recommended",)
        assert contracts.view("a/m.yaml").relative_path == "a/m.yaml"
        # not mixed up with a file of the current directory
        assert contracts.view("/m.yaml").relative_path == "/m.yaml"
        assert contracts.view("m.yaml").relative_path == "m.yaml"


def test_from_a_directory_below_and_by_absolute_path(tmp_path: Path) -> None:
    write(tmp_path, {"vllmlint.yaml": SELECT.format("VL101"), "a/b/m.yaml": MANIFEST})
    with inside(tmp_path / "a"):
        (tmp_path / "a" / ".git").rmdir()
        (tmp_path / ".git").mkdir()
        contracts = Contracts()
        for path in ("b/m.yaml", "../a/b/m.yaml", (tmp_path / "a/b/m.yaml").as_posix()):
            assert selected(contracts, path) == ("VL101",)
            assert contracts.view(path).relative_path == "a/b/m.yaml"


def test_one_contract_for_all_files(tmp_path: Path) -> None:
    write(tmp_path, {"vllmlint.yaml": SELECT.format("VL101"), "x/other.yaml": SELECT.format("VL102")})
    with inside(tmp_path):
        contracts = Contracts("x/other.yaml")
        assert selected(contracts, "m.yaml") == ("VL102",)
        assert contracts.view("m.yaml").relative_path == "../m.yaml"


def test_a_contract_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, {"vllmlint.yaml": SELECT.format("VL101")})
    with inside(tmp_path):
        contracts = Contracts()
        assert contracts.view("a/m.yaml").contract is contracts.view("b/c/m.yaml").contract


@pytest.mark.parametrize(
    ("text", "line", "under"),
    [
        ("failOn: error\nrulez: {}\n", 2, "rulez"),
        ("rules:\n  severity: {privileged: loud}\n", 2, "loud"),
        ("failOn: error\nrules: ]\n", 2, "]"),
    ],
)
def test_a_wrong_contract_is_refused_with_its_place(tmp_path: Path, text: str, line: int, under: str) -> None:
    write(tmp_path, {"vllmlint.yaml": text})
    with inside(tmp_path), pytest.raises(ContractError) as caught:
        Contracts().view("m.yaml")
    (problem,) = caught.value.problems
    assert (problem.place.source.path, problem.place.line, problem.place.text) == (
        "vllmlint.yaml",
        line,
        under,
    )
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.path, str(again)) == (caught.value.path, str(caught.value))
    assert again.problems[0].message == problem.message
    assert again.problems[0].place.text == under


def test_a_contract_that_cannot_be_read(tmp_path: Path) -> None:
    with inside(tmp_path), pytest.raises(SourceError, match="cannot read the contract"):
        Contracts("missing.yaml").view("m.yaml")


def test_files_under_several_contracts_in_one_run(tmp_path: Path) -> None:
    files = {
        "vllmlint.yaml": SELECT.format("image-tag-floating"),
        "m.yaml": MANIFEST,
        "a/vllmlint.yaml": SELECT.format("privileged"),
        "a/m.yaml": MANIFEST,
    }
    result = lint(tmp_path, files, select=None)
    assert [(one.spot.file, one.name) for one in result.findings] == [
        ("a/m.yaml", "privileged"),
        ("m.yaml", "image-tag-floating"),
    ]


ENVIRONMENTS = """\
environments:
  production: {paths: ["prod/**"]}
  staging: {paths: ["stage/**"]}
"""


def test_environments(tmp_path: Path) -> None:
    files = {"prod/m.yaml": MANIFEST, "stage/m.yaml": MANIFEST, "m.yaml": MANIFEST}
    result = lint(tmp_path, files, ENVIRONMENTS, select=["privileged"])
    assert names(result.findings) == ["privileged"] * 3
    assert {one.spot.file: one.environment for one in result.findings} == {
        "prod/m.yaml": "production",
        "stage/m.yaml": "staging",
        "m.yaml": None,
    }
