"""The shape of a contract and the functions on it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from vllmlint.contract.globs import matches_glob
from vllmlint.contract.schema import field_texts
from vllmlint.contract.settings import Contract, Environment, camel_case, environment_of


@pytest.mark.parametrize("module", ["settings", "discovery"])
def test_pydantic_stays_out(module: str) -> None:
    program = f"import sys, vllmlint.contract.{module}; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_defaults() -> None:
    contract = Contract()
    assert contract.rules.select == ("recommended",)
    assert (contract.images.pin, contract.fail_on, contract.min_confidence) == ("release", "error", "low")
    assert contract.storage.read_gib_per_second is None
    assert contract.serving.min_concurrency is None


def test_contracts_compare_by_what_they_say() -> None:
    assert Contract() == Contract()
    assert Contract(fail_on="warning") != Contract()
    assert "fail_on='error'" in repr(Contract())


def test_camel_case() -> None:
    names = ["gpu_memory_gib", "id", "read_gib_per_second"]
    assert [camel_case(name) for name in names] == ["gpuMemoryGib", "id", "readGibPerSecond"]


def test_every_field_says_what_it_means() -> None:
    from vllmlint.contract import settings

    for name, texts in field_texts().items():
        kind = getattr(settings, name)
        if dataclasses.is_dataclass(kind):
            assert list(texts) == [camel_case(field.name) for field in dataclasses.fields(kind)], name


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("overlays/production/a.yaml", "overlays/production/**", True),
        ("overlays/production/x/y/a.yaml", "overlays/production/**", True),
        ("overlays/staging/a.yaml", "overlays/production/**", False),
        ("overlays/production", "overlays/production/**", False),
        ("overlays/production/a.yaml", "overlays/production", True),
        ("overlays/production/a.yaml", "overlays/production/", True),
        ("overlays/production-2/a.yaml", "overlays/production", False),
        ("overlays/a.yaml", "overlays/*.yaml", True),
        ("overlays/x/a.yaml", "overlays/*.yaml", False),
        ("overlays/x/a.yaml", "overlays/**/*.yaml", True),
        ("overlays/a.yaml", "overlays/**/*.yaml", True),
        ("overlays/x/a.yaml", "./overlays/*/a.yaml", True),
        ("x/overlays/a.yaml", "overlays/a.yaml", False),
        ("x/overlays/a.yaml", "**/overlays/a.yaml", True),
        ("x/y/a.yaml", "a.yaml", True),
        ("x/y/a.yaml", "/a.yaml", False),
        ("a.yaml", "/a.yaml", True),
        ("a.yaml", "**", True),
        ("x/a.yaml", ".", True),
        ("./a.yaml", "a.yaml", True),
        ("x/staging/a.yaml", "staging", True),
        ("x/staging.yaml", "staging", False),
        ("ab.yaml", "a?.yaml", True),
        ("a/.yaml", "a?.yaml", False),
        ("a1.yaml", "a[0-9].yaml", True),
        ("ax.yaml", "a[!0-9].yaml", True),
        ("a/b", "a[!0-9]b", False),
        ("a[z-a].yaml", "a[z-a].yaml", True),
        ("a[.yaml", "a[.yaml", True),
        ("a.yaml.bak", "*.yaml", False),
        ("axyaml", "a.yaml", False),
    ],
)
def test_matches_glob(path: str, pattern: str, expected: bool) -> None:
    assert matches_glob(path, pattern) is expected


def test_environment_is_the_first_that_matches() -> None:
    environments = {
        "production": Environment(("overlays/production",)),
        "other": Environment(("overlays/**",)),
    }
    contract = Contract(environments=environments)
    paths = ["overlays/production/a.yaml", "overlays/b.yaml", "base/a.yaml"]
    assert [environment_of(contract, path) for path in paths] == ["production", "other", None]
