"""The same files give the same bytes: in any order of paths, any hash seed, any number of processes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUN = "from vllmlint.__main__ import main; main()"
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: vllm, namespace: llm}
spec: {selector: {app: vllm-llama}, ports: [{port: 80, targetPort: 9999}]}
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories of Deployments, with Services in other files that joins must find."""
    root = tmp_path_factory.mktemp("repository")
    (root / ".git").mkdir()
    text = (ROOT / "fixtures" / "founding" / "deployment.yaml").read_text("utf-8")
    for number in range(12):
        folder = root / "ab"[number % 2] / f"team-{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"deployment-{number}.yaml").write_text(
            text.replace("vllm-llama", f"vllm-llama-{number}"), "utf-8"
        )
        (folder / f"service-{number}.yaml").write_text(
            SERVICE.replace("vllm-llama", f"vllm-llama-{number}"), "utf-8"
        )
    (root / "broken.yaml").write_text("a: [\n", "utf-8")
    return root


def run(repository: Path, fmt: str, paths: list[str], *options: str, hash_seed: str = "0") -> bytes:
    """What a check prints."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "NO_COLOR": "1"}
    command = [sys.executable, "-c", RUN, "check", "--verbose", "--format", fmt, *options, *paths]
    done = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr.decode()
    assert done.stderr == b""
    return done.stdout


@pytest.mark.parametrize("fmt", ["text", "json", "sarif", "github"])
def test_two_runs_give_the_same_bytes(repository: Path, fmt: str) -> None:
    first = run(repository, fmt, ["."], hash_seed="1")
    assert first == run(repository, fmt, ["."], hash_seed="2")
    assert b"image-tag-floating" in first


@pytest.mark.parametrize("fmt", ["text", "json", "sarif"])
def test_the_order_of_paths_does_not_matter(repository: Path, fmt: str) -> None:
    paths = sorted(path.relative_to(repository).as_posix() for path in repository.rglob("*.yaml"))
    shuffled = paths.copy()
    random.Random(5).shuffle(shuffled)
    assert (
        run(repository, fmt, paths)
        == run(repository, fmt, shuffled)
        == run(repository, fmt, ["b", "broken.yaml", "a"])
    )


@pytest.mark.parametrize("fmt", ["text", "json", "sarif"])
def test_several_processes_give_the_same_bytes(repository: Path, fmt: str) -> None:
    alone = run(repository, fmt, ["."], "--jobs", "1")
    assert alone == run(repository, fmt, ["."], "--jobs", "2") == run(repository, fmt, ["."], "--jobs", "7")
