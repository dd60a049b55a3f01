"""Projects in a directory of their own, and what a run over them says."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vllmlint import rulebook as registry
from vllmlint.finding import Finding
from vllmlint.lint import engine, outcome, selection
from vllmlint.lint.result import Reported, RunResult
from vllmlint.lint.run import RunOptions, run_check
from vllmlint.sources.files import find_inputs

TODAY = datetime.date(2026, 11, 23)

#: Shows image-tag-floating on `latest`, privileged on `true`, unknown-or-removed-flag on the flag.
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: llama
spec:
  template:
    metadata:
      labels: {app: llama}
    spec:
      containers:
        - name: vllm
          image: vllm/vllm-openai:latest
          command: [sh, -c]
          args:
            - |
              exec vllm serve org/model \\
                --tensor-paralel-size 2
          securityContext:
            privileged: true
"""
THREE = ("image-tag-floating", "privileged", "unknown-or-removed-flag")


@contextmanager
def inside(directory: Path) -> Iterator[None]:
    """Run with this working directory, which no contract from above can reach."""
    (directory / ".git").mkdir(exist_ok=True)
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def write(directory: Path, files: Mapping[str, str]) -> None:
    """Write files, with their directories."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def lint(
    directory: Path,
    files: Mapping[str, str] | str = MANIFEST,
    contract: str | None = None,
    *,
    select: Sequence[str] | None = THREE,
    **options: Any,
) -> RunResult:
    """Lint files (or one manifest) with some rules; `contract` is the one at the top."""
    written = {"m.yaml": files} if isinstance(files, str) else dict(files)
    if contract is not None:
        written["vllmlint.yaml"] = contract
    write(directory, written)
    with inside(directory):
        inputs = find_inputs(["."])
        return run_check(RunOptions(inputs, select=select, **{"today": TODAY, "jobs": 1, **options}))


def shown(found: Sequence[Reported]) -> list[tuple[str, str]]:
    """The rule and the characters under each finding."""
    return [(one.name, one.spot.place.text) for one in found]


def names(found: Sequence[Reported]) -> list[str]:
    """The rules, in the order of the findings."""
    return [one.name for one in found]


@contextmanager
def rules(*made: tuple[registry.Rule, engine.CheckFunction]) -> Iterator[None]:
    """Run with these rules in front of the shipped ones."""
    added = tuple(rule for rule, _ in made)
    functions = {rule.name: function for rule, function in made}
    known, find, function_of = registry.all_rules, registry.find_rule, engine.check_function

    def find_rule(key: str) -> registry.Rule | None:
        return next((rule for rule in added if key in {rule.name, rule.id}), None) or find(key)

    modules: list[Any] = [engine, outcome, selection]
    before = [(module, dict(vars(module))) for module in modules]
    for module in modules:
        for name, value in (
            ("all_rules", lambda: (*added, *known())),
            ("find_rule", find_rule),
            ("check_function", lambda rule: functions.get(rule.name) or function_of(rule)),
        ):
            if hasattr(module, name):
                setattr(module, name, value)
    try:
        yield
    finally:
        for module, values in before:
            for name in ("all_rules", "find_rule", "check_function"):
                if name in values:
                    setattr(module, name, values[name])


def rule(name: str, **fields: Any) -> registry.Rule:
    """A rule about containers that serve, in a section that no shipped rule has."""
    row = {"id": "VL9" + name, "section": "made", "severity": "warning", "since": "0", "subject": "server"}
    return registry.Rule(**{**row, "name": name, "summary": "", "check": "made.made", **fields})


def about(text: str, **fields: Any) -> engine.CheckFunction:
    """A check that underlines the first place of a text in the subject's file."""

    def check(subject: Any, _world: Any) -> Iterator[Finding]:
        file = getattr(subject, "file", subject) if not hasattr(subject, "object") else subject.object.file
        source = file.source
        at = source.text.index(text)
        yield Finding(engine.Place(source, at, at + len(text)), f"found {text}", **fields)

    return check
