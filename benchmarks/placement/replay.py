"""Replay a real scheduler's verdicts against vllmlint's.

    python benchmarks/placement/replay.py [-v] CASES.jsonl

One case a line: `pod`, `cluster: {nodes, pods, slices, claims, deviceClasses, version, ...}` (API objects
as JSON), `schedulable_nodes` (names), and `reasons` where they were recorded: a list of messages, messages
for each node, or a count for each message; `cases.py` says which other ways to write them are read. A case
agrees when the same nodes take the pod and every recorded reason that is recognized is among ours. `cannot
tell` never agrees. The last line is `agree N of M`; the exit code is 1 unless all agree.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cases import CaseError, messages, read_case

from vllmlint.kube.scheduling.attempt import Attempt, first_reasons
from vllmlint.kube.scheduling.cluster import read_cluster
from vllmlint.kube.scheduling.read_pod import read_pod
from vllmlint.kube.scheduling.records import Reason, Verdict
from vllmlint.kube.scheduling.words import message

#: What a message is about, whatever the release's wording.
_KINDS = (
    (r"untolerated taint|taint.*didn't tolerate|that the pod didn't tolerate", "taint"),
    (
        r"node affinity/selector|Pod's node affinity|match (the )?node selector|MatchNodeSelector"
        r"|NodeAffinity",
        "affinity",
    ),
    (r"were unschedulable", "cordon"),
    (r"requested node name|requested hostname", "node-name"),
    (r"free ports", "ports"),
    (r"Too many pods", "pods"),
    (r"existing pods anti-affinity", "existing-anti-affinity"),
    (r"pod anti-affinity rules", "anti-affinity"),
    (r"pod affinity rules", "pod-affinity"),
    (r"missing required label", "spread-label"),
    (r"topology spread constraints", "spread"),
    (r"PersistentVolume's node affinity|volume node affinity conflict", "volume-affinity"),
    (r"available persistent volumes to bind", "volume-bind"),
    (r"non-existent pv", "volume-missing"),
    (r"available volume zone", "volume-zone"),
    (r"ReadWriteOncePod", "volume-in-use"),
    (
        r"unbound immediate|persistentvolumeclaim .* not found|ephemeral volume controller|is being deleted",
        "volume",
    ),
    (r"cannot allocate all claims|cannot fit resource", "dra"),
    (r"invalid resource pools", "dra-pool"),
    (r"CEL|asks for all devices|retrieve device class|claim limit|constraint would not", "dra-error"),
    (r"device class .* does not exist", "dra-error"),
    (r"not available on the node", "dra-elsewhere"),
    (r"resourceclaim in use", "dra-in-use"),
    (r"resourceclaim .*not found|waiting for .*resource ?claim", "dra-missing"),
    (r"scheduling gates|^gated", "gated"),
)


def kind_of(text: str) -> str | None:
    """What a scheduler's message is about; None where that is not recognized."""
    found = re.search(r"Insufficient (\S+)", text)
    if found is not None:
        return f"resource {found[1].rstrip('.,')}"
    return next((kind for pattern, kind in _KINDS if re.search(pattern, text)), None)


def judge(case: Mapping[str, Any]) -> tuple[list[Verdict], tuple[int, int]]:
    """Our verdict for each node of a case (`read_case`), and the release it is for."""
    cluster = read_cluster(case["cluster"])
    pod = read_pod(case["pod"], cluster.version)
    return Attempt(pod, cluster).verdicts(), cluster.version


def differences(row: Mapping[str, Any]) -> list[str]:
    """What differs between a row's recorded verdict and ours; empty when they agree."""
    case = read_case(row)
    verdicts, version = judge(case)
    theirs = set(case["schedulable_nodes"])
    found = [
        f"{name}: schedulable, but no node of the cluster"
        for name in sorted(theirs - {v.node for v in verdicts})
    ]
    for one in verdicts:
        wanted = "yes" if one.node in theirs else "no"
        if one.answer != wanted:
            why = "; ".join(f"{message(reason, version)} ({reason.detail})" for reason in one.reasons)
            found.append(f"{one.node}: scheduler {wanted}, ours {one.answer}{': ' + why if why else ''}")
    return [*found, *_other_reasons(case["reasons"], verdicts)]


def _other_reasons(reasons: Any, verdicts: list[Verdict]) -> Iterator[str]:
    """The recorded reasons that are not among ours for the node (without one: for any node)."""
    rejected = [one for one in verdicts if one.answer == "no"]
    for node, text in messages(reasons, {one.node for one in verdicts}):
        about = [one for one in rejected if node in {None, one.node}]
        kind = kind_of(text)
        if kind is None or not about:
            continue
        ours = [reason for one in about for reason in one.reasons]
        if not any(_kind(reason) == kind and _same_taint(reason, text) for reason in ours):
            first = sorted({_kind(reason) for one in about for reason in first_reasons(one)})
            yield f"{node or 'some node'}: scheduler says {text!r}, ours say {', '.join(first)}"


def _same_taint(reason: Reason, text: str) -> bool:
    """Whether a message that names a taint, as older releases do (`{key: value}`), names that of a reason."""
    named = re.search(r"taint\w*\s*\{\s*([^:{}]+?)\s*:\s*([^{}]*?)\s*\}", text)
    if reason.code != "taint" or named is None:
        return True
    key, _, value = reason.subject.rpartition(":")[0].partition("=")
    return (key, value) == named.groups()


def _kind(reason: Reason) -> str:
    return f"resource {reason.subject}" if reason.code == "resource" else str(reason.code)


def main() -> int:
    """Print the agreement; see the module."""
    parser = argparse.ArgumentParser(description="Replay a real scheduler's verdicts against vllmlint's.")
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every difference")
    options = parser.parse_args()
    agree = total = 0
    for path in options.cases:
        for number, line in _rows(path):
            total += 1
            name, found = _judged(line)
            agree += not found
            if found and options.verbose:
                print(f"{path}:{number}: {name}")
                print("\n".join(f"  {one}" for one in found))
    print(f"agree {agree} of {total}")
    return 0 if agree == total and total else 1


def _rows(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that hold something, with their numbers."""
    text = path.read_text("utf-8-sig")
    if text.lstrip().startswith("["):
        yield from ((number, json.dumps(row)) for number, row in enumerate(json.loads(text), 1))
        return
    yield from ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def _judged(line: str) -> tuple[str, list[str]]:
    """The name of a row and its differences; one that cannot be read, or breaks us, is a difference."""
    name = ""
    try:
        row = json.loads(line)
        name = str(row.get("name") or "") if isinstance(row, dict) else ""
        return name, differences(row)
    except CaseError as error:
        return name, [f"no case: {error}"]
    except Exception as error:  # the others still count
        return name, [f"{type(error).__name__}: {error}"]


if __name__ == "__main__":
    sys.exit(main())
