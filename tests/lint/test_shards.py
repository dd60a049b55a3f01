"""A run over several processes says what one process says."""

from __future__ import annotations

from pathlib import Path

import pytest
from lint_samples import MANIFEST, THREE, lint

from vllmlint.lint.contracts import ContractError
from vllmlint.lint.result import RunResult
from vllmlint.lint.run import RunOptions, shard_count
from vllmlint.lint.shards import _split
from vllmlint.sources.files import Input, SourceError

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: llama}
spec: {selector: {app: llama}, ports: [{port: 80, targetPort: 9999}]}
"""
FILES = {
    "a.yaml": SERVICE,
    "b.yaml": MANIFEST + "---\na: [\n",
    "c.yaml": "a: {{ .Values.x }}\n",
    "d/e.yaml": MANIFEST.replace("latest", "${TAG}"),
    "z.yaml": MANIFEST,
}


def everything(result: RunResult) -> tuple[object, ...]:
    """A run as plain data."""
    found = [
        [(one.name, one.severity, one.spot.file, one.spot.start, one.path, one.fingerprint) for one in each]
        for each in (result.findings, result.suppressed)
    ]
    counts = (result.files, result.objects, result.servers)
    return (*found, result.lost_inputs, result.skipped, counts, result.internal_errors)


@pytest.mark.parametrize("jobs", [2, 3, 5, 20])
def test_the_same_result(tmp_path: Path, jobs: int) -> None:
    alone = everything(lint(tmp_path, FILES, select=None))
    assert everything(lint(tmp_path, FILES, select=None, jobs=jobs)) == alone


def test_a_service_of_another_process_is_seen(tmp_path: Path) -> None:
    files = {"a.yaml": SERVICE, "b.yaml": MANIFEST}
    select = ["service-targetport-mismatch"]
    alone = lint(tmp_path, files, select=select)
    assert everything(lint(tmp_path, files, select=select, jobs=2)) == everything(alone)


def test_progress_counts_up_to_all_files(tmp_path: Path) -> None:
    from lint_samples import inside, write

    from vllmlint.lint.run import run_check
    from vllmlint.sources.files import find_inputs

    write(tmp_path, FILES)
    for jobs in (1, 2):
        seen: list[int] = []
        with inside(tmp_path):
            run_check(RunOptions(find_inputs(["."]), select=THREE, jobs=jobs), seen.append)
        assert seen == sorted(seen)
        assert seen[-1] == len(FILES)


@pytest.mark.parametrize("where", ["a", "z"])
def test_a_wrong_contract_in_any_process(
    tmp_path: Path, where: str, capfd: pytest.CaptureFixture[str]
) -> None:
    files = {"a/m.yaml": MANIFEST, "z/m.yaml": MANIFEST, f"{where}/vllmlint.yaml": "rulez: {}\n"}
    with pytest.raises(ContractError) as caught:
        lint(tmp_path, files, jobs=2)
    assert caught.value.problems[0].place.text == "rulez"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("position", [0, 1])
def test_a_file_that_is_gone_in_any_process(
    tmp_path: Path, position: int, capfd: pytest.CaptureFixture[str]
) -> None:
    from lint_samples import inside

    from vllmlint.lint.run import run_check

    inputs = [Input("m.yaml", MANIFEST.encode())]
    inputs.insert(position, Input("gone.yaml"))
    with inside(tmp_path), pytest.raises(SourceError, match=r"cannot read gone\.yaml"):
        run_check(RunOptions(inputs, jobs=2))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("files", "jobs", "count"), [(1, 8, 1), (10, 1, 1), (10, 3, 3), (2, 8, 2), (0, 4, 1), (100, 0, 1)]
)
def test_how_many_processes(files: int, jobs: int, count: int) -> None:
    inputs = [Input(f"{number}.yaml", b"") for number in range(files)]
    assert shard_count(RunOptions(inputs, jobs=jobs)) == count


@pytest.mark.parametrize(("files", "shards"), [(10, 3), (3, 3), (7, 2)])
def test_files_are_split_in_order(files: int, shards: int) -> None:
    inputs = [Input(str(number)) for number in range(files)]
    parts = _split(inputs, shards)
    assert [one for part in parts for one in part] == inputs
    assert len(parts) == shards
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
