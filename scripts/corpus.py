"""Run the linter over real manifests and compare with what was reviewed.

    python scripts/corpus.py [--update] [-v]

The manifests lie in `../shared/corpus` (or where VLLMLINT_CORPUS says); without them the run fails
unless VLLMLINT_CORPUS_OPTIONAL=1. Each file is linted alone. Checked are: no rule raises; at least 95 %
of the files of the categories that hold servers yield one, the others being listed with a reason in
`tests/corpus/no_server.json`; files that hold none yield none; and the servers of each file and its counts
per rule equal `tests/corpus/summary.json`. `--update` rewrites that file: review what changed.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vllmlint.lint.run import RunOptions, run_check
from vllmlint.sources.files import Input

ROOT = Path(__file__).resolve().parent.parent
SUMMARY = ROOT / "tests" / "corpus" / "summary.json"
NO_SERVER = ROOT / "tests" / "corpus" / "no_server.json"
TODAY = datetime.date(2026, 11, 23)
WITH_SERVERS = frozenset({"plain-workload", "lws"})
WITHOUT_SERVERS = frozenset({"non-k8s-vllm", "k8s-no-vllm", "k8s-vllm-client"})
LEAST_SHARE = 0.95


@dataclass(frozen=True)
class Verdict:
    """What the linter said of one file; `error` is a traceback when it failed inside."""

    name: str
    category: str
    servers: int
    rules: dict[str, int]
    error: str = ""

    def row(self) -> dict[str, Any]:
        """The verdict as it is kept for review."""
        return {"servers": self.servers, "rules": self.rules}


def corpus_directory() -> Path:
    """Where the manifests lie."""
    return Path(os.environ.get("VLLMLINT_CORPUS") or ROOT.parent / "shared" / "corpus")


def judge(row: Mapping[str, Any], corpus: Path) -> Verdict:
    """Lint one file of the corpus, alone and with no contract."""
    name = f"{row['repo']}/{row['path']}"
    # the name and the bytes are all a verdict may depend on, not where the corpus lies
    shown = f"/corpus/{hashlib.sha256(name.encode()).hexdigest()[:16]}/{Path(row['path']).name}"
    try:
        data = (corpus / row["repo"].replace("/", "__") / row["path"]).read_bytes()
        result = run_check(RunOptions([Input(shown, data)], today=TODAY, jobs=1))
    except Exception:
        return Verdict(name, row["category"], 0, {}, traceback.format_exc())
    counts = Counter(found.name for found in result.findings)
    error = result.internal_errors[0] if result.internal_errors else ""
    return Verdict(name, row["category"], result.servers, dict(sorted(counts.items())), error)


def judge_all(corpus: Path) -> list[Verdict]:
    """The verdict on every file, in order of name."""
    lines = (corpus / "INDEX.jsonl").read_text("utf-8").splitlines()
    return sorted((judge(json.loads(line), corpus) for line in lines if line), key=lambda one: one.name)


def internal_errors(verdicts: Iterable[Verdict]) -> list[str]:
    """Files on which something raised; the traceback of the first of each kind."""
    found, kinds = [], set()
    for one in verdicts:
        if one.error:
            kind = one.error.strip().splitlines()[-1]
            found.append(f"{one.name}: internal error: {kind if kind in kinds else one.error}")
            kinds.add(kind)
    return found


def missing_servers(verdicts: Iterable[Verdict], reasons: Mapping[str, str]) -> list[str]:
    """What is wrong with the files that should yield a server."""
    expected = [one for one in verdicts if one.category in WITH_SERVERS]
    without = {one.name for one in expected if not one.servers}
    found = [
        f"{name}: no server found, and no reason given in {NO_SERVER.name}"
        for name in sorted(without - set(reasons))
    ]
    found += [
        f"{name}: {NO_SERVER.name} names it, but it yields a server or is gone"
        for name in sorted(set(reasons) - without)
    ]
    share = 1 - len(without) / len(expected) if expected else 0.0
    print(
        f"{len(expected) - len(without)} of {len(expected)} files that hold a server yield one ({share:.1%})"
    )
    for name in sorted(without & set(reasons)):
        print(f"  none in {name}: {reasons[name]}")
    if share < LEAST_SHARE:
        found.append(f"only {share:.1%} of the files that hold a server yield one, not {LEAST_SHARE:.0%}")
    return found


def false_servers(verdicts: Iterable[Verdict]) -> list[str]:
    """Files that hold no server and yet yield one."""
    wrong = [one for one in verdicts if one.category in WITHOUT_SERVERS and one.servers]
    return [f"{one.name}: {one.servers} server(s) found in a file of {one.category}" for one in wrong]


def changes(verdicts: Iterable[Verdict], reviewed: Mapping[str, Any]) -> list[str]:
    """How verdicts differ from the reviewed ones."""
    now = {one.name: one.row() for one in verdicts}
    return [
        f"{name}: {_difference(reviewed.get(name), now.get(name))}"
        for name in sorted({*now, *reviewed})
        if now.get(name) != reviewed.get(name)
    ]


def _difference(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    if before is None or after is None:
        return "is new" if before is None else "is gone"
    parts = []
    if before["servers"] != after["servers"]:
        parts.append(f"servers {before['servers']} -> {after['servers']}")
    for rule in sorted({*before["rules"], *after["rules"]}):
        old, new = before["rules"].get(rule, 0), after["rules"].get(rule, 0)
        if old != new:
            parts.append(f"{rule} {old} -> {new}")
    return ", ".join(parts)


def write_summary(verdicts: Iterable[Verdict]) -> None:
    """Keep the verdicts for review, one file a line."""
    lines = [f"{json.dumps(one.name)}: {json.dumps(one.row(), ensure_ascii=False)}" for one in verdicts]
    SUMMARY.parent.mkdir(parents=True, exist_ok=True)
    SUMMARY.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def _read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return loaded


def main() -> int:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description="Run the linter over real manifests.")
    parser.add_argument("--update", action="store_true", help="rewrite the reviewed summary")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the counts of every rule")
    options = parser.parse_args()
    corpus = corpus_directory()
    if not (corpus / "INDEX.jsonl").is_file():
        waived = os.environ.get("VLLMLINT_CORPUS_OPTIONAL") == "1"
        print(f"no corpus at {corpus}: " + ("left out" if waived else "VLLMLINT_CORPUS_OPTIONAL=1 waives it"))
        return 0 if waived else 1
    started = time.perf_counter()
    verdicts = judge_all(corpus)
    servers, seconds = sum(one.servers for one in verdicts), time.perf_counter() - started
    print(f"{len(verdicts)} files, {servers} servers, {seconds:.1f} s")
    if options.verbose:
        totals = sum((Counter(one.rules) for one in verdicts), Counter())
        print("\n".join(f"{count:6} {rule}" for rule, count in totals.most_common()))
    wrong = [
        *internal_errors(verdicts),
        *missing_servers(verdicts, _read(NO_SERVER)),
        *false_servers(verdicts),
    ]
    if options.update:
        write_summary(verdicts)
    else:
        changed = changes(verdicts, _read(SUMMARY))
        wrong += changed
        if changed:
            kept = SUMMARY.relative_to(ROOT)
            print(f"{len(changed)} verdicts differ from {kept}: --update rewrites it, review what changed")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
