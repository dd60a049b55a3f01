"""Replay a real scheduler's verdicts against vllmlint's.

    python benchmarks/placement/replay.py [-v] CASES.jsonl

One case a line: `pod`, `cluster: {nodes, pods, slices, claims, deviceClasses, version, ...}` (API objects
as JSON), `schedulable_nodes` (names), and `reasons` where they were recorded: a list of messages, messages
for each node, or a count for each message. A case agrees when the same nodes take the pod and every recorded
reason that is recognized is among ours. `cannot tell` never agrees. The last line is `agree N of M`; the
exit code is 1 unless all agree.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vllmlint.kube.scheduling.attempt import Attempt, first_reasons
from vllmlint.kube.scheduling.cluster import parse_version, read_cluster
from vllmlint.kube.scheduling.read_pod import read_pod
from vllmlint.kube.scheduling.records import Verdict
from vllmlint.kube.scheduling.words import message

#: What a message is about, whatever the release's wording.
_KINDS = (
    (r"untolerated taint|taint.*didn't tolerate|that the pod didn't tolerate", "taint"),
    (
        r"node affinity/selector|plugin\(s\) \[NodeAffinity\]|plugin\(s\) NodeAffinity|NodeAffinity",
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
    (r"resourceclaim .*not found|waiting for .*resource ?claim", "dra-missing"),
    (r"scheduling gates|^gated", "gated"),
)


def kind_of(text: str) -> str | None:
    """What a scheduler's message is about; None where that is not recognized."""
    found = re.search(r"Insufficient (\S+)", text)
    if found is not None:
        return f"resource {found[1].rstrip('.,')}"
    return next((kind for pattern, kind in _KINDS if re.search(pattern, text)), None)


def recorded(reasons: Any) -> Iterator[tuple[str | None, str]]:
    """The recorded reasons as (node or None, message), whatever shape they were recorded in."""
    if isinstance(reasons, str):
        yield from ((None, part) for part in _event_parts(reasons))
    elif isinstance(reasons, list):
        for one in reasons:
            if isinstance(one, str):
                yield from ((None, part) for part in _event_parts(one))
            elif isinstance(one, Mapping):
                node, text = one.get("node"), one.get("reason") or one.get("message") or one.get("reasons")
                for part in text if isinstance(text, list) else [text]:
                    if isinstance(part, str):
                        yield node, part
    elif isinstance(reasons, Mapping):
        for key, value in reasons.items():
            if isinstance(value, int):
                yield None, key
            else:
                for part in value if isinstance(value, list) else [value]:
                    yield key, part if isinstance(part, str) else str(part)


def _event_parts(text: str) -> list[str]:
    """The parts of an event's message, without what preemption says."""
    return re.split(r",\s+(?=\d+ )", text.partition(" preemption:")[0])


def judge(case: Mapping[str, Any]) -> tuple[list[Verdict], tuple[int, int]]:
    """Our verdict for each node of a case, and the release it is for."""
    cluster_data = case.get("cluster") or {}
    cluster = read_cluster({"version": case.get("version"), **cluster_data})
    pod = read_pod(case["pod"], cluster.version)
    return Attempt(pod, cluster).verdicts(), parse_version(cluster_data.get("version") or case.get("version"))


def differences(case: Mapping[str, Any]) -> list[str]:
    """What differs between a case's recorded verdict and ours; empty when they agree."""
    verdicts, version = judge(case)
    theirs = set(case.get("schedulable_nodes") or ())
    found = []
    for one in verdicts:
        wanted = "yes" if one.node in theirs else "no"
        if one.answer != wanted:
            why = "; ".join(f"{message(reason, version)} ({reason.detail})" for reason in one.reasons)
            found.append(f"{one.node}: scheduler {wanted}, ours {one.answer}{': ' + why if why else ''}")
    rejected = [one for one in verdicts if one.answer == "no"]
    for node, text in recorded(case.get("reasons")):
        kind = kind_of(text)
        if kind is None:
            continue
        ours = {_kind(reason) for one in rejected if node in {None, one.node} for reason in one.reasons}
        if kind not in ours and any(node in {None, one.node} for one in rejected):
            first = sorted(
                {
                    _kind(reason)
                    for one in rejected
                    if node in {None, one.node}
                    for reason in first_reasons(one)
                }
            )
            found.append(f"{node or 'some node'}: scheduler says {text!r}, ours say {', '.join(first)}")
    return found


def _kind(reason: Any) -> str:
    return f"resource {reason.subject}" if reason.code == "resource" else str(reason.code)


def main() -> int:
    """Print the agreement; see the module."""
    parser = argparse.ArgumentParser(description="Replay a real scheduler's verdicts against vllmlint's.")
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every difference")
    options = parser.parse_args()
    agree = total = 0
    for path in options.cases:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if not line.strip():
                continue
            case = json.loads(line)
            total += 1
            try:
                found = differences(case)
            except Exception as error:  # a case that breaks us is a difference, and the others still count
                found = [f"{type(error).__name__}: {error}"]
            agree += not found
            if found and options.verbose:
                print(f"{path}:{number}: {case.get('name', '')}")
                print("\n".join(f"  {one}" for one in found))
    print(f"agree {agree} of {total}")
    return 0 if agree == total else 1


if __name__ == "__main__":
    sys.exit(main())
