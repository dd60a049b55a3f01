"""Run both hooks with the real pre-commit, in a scratch repository, from this working tree.

    python scripts/check_pre_commit.py

The scratch repository holds a Deployment that is only wrong together with the Service in a sibling file.
Needs git, pre-commit and what pip needs to install the package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RULE = "service-name-collides-with-vllm-env"
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: vllm}
spec: {selector: {app: llama}, ports: [{name: http, port: 80, targetPort: http}]}
"""
CONFIG = """\
repos:
  - repo: {url}
    rev: {revision}
    hooks:
      - id: vllmlint
      - id: vllmlint-all
"""


@dataclass(frozen=True)
class Step:
    """One `pre-commit run`: its arguments, whether it must pass, and what it must and must not print."""

    what: str
    arguments: tuple[str, ...]
    passes: bool
    prints: str
    omits: str = "Traceback"


def git(directory: Path, *arguments: str) -> str:
    """Run git in a scratch repository; what it printed."""
    identity = ["-c", "user.name=check", "-c", "user.email=check@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


def commit_all(directory: Path) -> str:
    """Commit everything in a new or old repository; the commit's name."""
    if not (directory / ".git").exists():
        git(directory, "init", "--quiet")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--no-verify", "--message", "check")
    return git(directory, "rev-parse", "HEAD")


def copy_working_tree(target: Path) -> None:
    """Copy what git tracks or would track, as it lies here now."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in os.fsdecode(listed.stdout).split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def write_manifests(directory: Path) -> None:
    """A Deployment that is right alone, its Service in another file, the same Deployment elsewhere, and
    files that are no manifests."""
    text = (ROOT / "rules" / "base" / "deployment.yaml").read_text("utf-8").split("\n---\n")[0] + "\n"
    line = "      enableServiceLinks: false\n"
    assert text.count(line) == 1, "rules/base/deployment.yaml no longer switches service links off"
    for folder in ("pair", "alone"):
        (directory / folder).mkdir(parents=True)
        (directory / folder / "deployment.yaml").write_text(text.replace(line, ""), "utf-8")
    (directory / "pair" / "service.yaml").write_text(SERVICE, "utf-8")
    (directory / "package.json").write_text('{"name": "x"}\n', "utf-8")
    (directory / "notes.txt").write_text("a: [\n", "utf-8")


def try_steps(directory: Path, steps: Sequence[Step], environment: dict[str, str]) -> list[str]:
    """Run the steps; what went wrong."""
    wrong = []
    for step in steps:
        command = [sys.executable, "-m", "pre_commit", "run", "--color", "never", *step.arguments]
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, check=False
        )
        output = done.stdout + done.stderr
        good = (done.returncode == 0) == step.passes and step.prints in output and step.omits not in output
        print(f"{'ok' if good else 'WRONG'}: {step.what}")
        if not good:
            wrong.append(f"{step.what}: pre-commit ended with {done.returncode}\n{output}")
    return wrong


PAIR, ALONE = "pair/deployment.yaml", "alone/deployment.yaml"
FIRST_STEPS = [
    Step(
        "a sibling that was not given makes the file wrong",
        ("vllmlint", "--files", PAIR),
        False,
        RULE,
    ),
    Step(
        "the sibling itself is not reported on",
        ("vllmlint", "--files", PAIR),
        False,
        "1 file, 1 server",
    ),
    Step(
        "the same file without the sibling passes",
        ("vllmlint", "--files", ALONE),
        True,
        "Passed",
        RULE,
    ),
    Step(
        "files that are no manifests pass",
        ("vllmlint", "--files", "package.json"),
        True,
        "Passed",
        RULE,
    ),
    Step("text is not for the hook", ("vllmlint", "--files", "notes.txt"), True, "Skipped", RULE),
    Step(
        "all manifests are linted whatever changed",
        ("vllmlint-all", "--files", "notes.txt"),
        False,
        RULE,
    ),
]
#: Once the sibling is put right.
LAST_STEPS = [
    Step("the sibling put right, the file passes", ("vllmlint", "--files", PAIR), True, "Passed", RULE),
    Step("the sibling put right, everything passes", ("--all-files",), True, "Passed", RULE),
]


def run_steps(scratch: Path) -> list[str]:
    """Set both repositories up and go through the steps."""
    hooks, project = scratch / "hooks", scratch / "project"
    hooks.mkdir()
    project.mkdir()
    copy_working_tree(hooks)
    revision = commit_all(hooks)
    write_manifests(project)
    (project / ".pre-commit-config.yaml").write_text(
        CONFIG.format(url=hooks.as_uri(), revision=revision), "utf-8"
    )
    commit_all(project)
    # what a surrounding hook or repository has set must not lead git elsewhere
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PRE_COMMIT"))}
    environment = {**kept, "PRE_COMMIT_HOME": str(scratch / "home")}
    wrong = try_steps(
        project,
        FIRST_STEPS,
        environment,
    )
    service = project / "pair" / "service.yaml"
    service.write_text(SERVICE.replace("name: vllm", "name: llama"), "utf-8")
    commit_all(project)
    return wrong + try_steps(
        project,
        LAST_STEPS,
        environment,
    )


def main() -> int:
    """Run the check; 1 when a hook did not do what it must."""
    with tempfile.TemporaryDirectory() as scratch:
        wrong = run_steps(Path(scratch))
    print("\n".join(wrong) if wrong else "both hooks do what they must")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
