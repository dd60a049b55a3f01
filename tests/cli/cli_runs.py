"""Runs of the command line in this process, from a directory of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from vllmlint.cli.app import app

FOUNDING = Path(__file__).resolve().parents[2] / "fixtures" / "founding"
#: A Service that selects nothing: an object without a finding.
CLEAN = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: clean}\n"
#: One error: a moving tag.
MOVING = """\
apiVersion: v1
kind: Pod
metadata: {name: llama}
spec:
  containers:
    - {name: vllm, image: "vllm/vllm-openai:latest", args: [org/model]}
"""


@dataclass(frozen=True)
class Done:
    """How a run ended and what it said."""

    code: int
    out: str
    err: str


def call(
    directory: Path, *arguments: str, stdin: str | bytes = "", env: Mapping[str, str | None] | None = None
) -> Done:
    """Run `vllmlint` with these arguments in a directory that no contract from above reaches."""
    (directory / ".git").mkdir(exist_ok=True)
    clean = dict.fromkeys(("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS"))
    before = Path.cwd()
    os.chdir(directory)
    try:
        result = CliRunner().invoke(app, list(arguments), input=stdin, env={**clean, **(env or {})})
    finally:
        os.chdir(before)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def process(directory: Path, *arguments: str, name: str = "vllmlint", **env: str) -> Done:
    """The same in a process of its own, started under a name."""
    code = f"import sys; sys.argv[0] = {name!r}; from vllmlint.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=directory,
        env={**os.environ, "NO_COLOR": "1", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)
