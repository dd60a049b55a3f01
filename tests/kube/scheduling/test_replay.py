"""The replay of recorded verdicts: any shape of a row is read, and a wrong verdict never agrees."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "benchmarks" / "placement"))

from cases import CaseError, messages, read_case, version_text  # noqa: E402
from replay import differences, kind_of  # noqa: E402


def node(name: str, gpus: int, taints: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A node with GPUs."""
    offers = {"cpu": "8", "memory": "64Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {"taints": taints or []},
        "status": {"allocatable": offers},
    }


def row(**changes: Any) -> dict[str, Any]:
    """A row that agrees: one node takes the pod, one has a taint, one too few GPUs."""
    spec = {"containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]}
    taints = [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
    return {
        "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "server"}, "spec": spec},
        "cluster": {"nodes": [node("a", 2), node("b", 2, taints), node("c", 1)], "version": "1.33"},
        "schedulable_nodes": ["a"],
        "reasons": {
            "b": "node(s) had untolerated taint {nvidia.com/gpu: present}",
            "c": "Insufficient nvidia.com/gpu",
        },
        **changes,
    }


def cluster(**changes: Any) -> dict[str, Any]:
    """The row's cluster with some keys in another form."""
    return row(cluster={**row()["cluster"], **changes})


POD, NODES = row()["pod"], row()["cluster"]["nodes"]
FLAT = [
    {
        "name": one["metadata"]["name"],
        "labels": one["metadata"]["labels"],
        "taints": one["spec"]["taints"],
        "allocatable": {"cpu": 8, "memory": 64 * 2**30, "pods": 110, "nvidia.com/gpu": gpus},
    }
    for one, gpus in zip(NODES, (2, 2, 1), strict=True)
]
EVENT = (
    "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint "
    "{nvidia.com/gpu: present}. preemption: 0/3 nodes are available: 1 No preemption "
    "victims found for incoming pod, 1 Preemption is not helpful for scheduling."
)


@pytest.mark.parametrize(
    "written",
    [
        row(),
        row(pod=POD["spec"]),
        row(pod=json.dumps(POD)),
        row(
            pod={"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": {"spec": POD["spec"]}}}
        ),
        row(pod={**POD, "spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": 2}}}]}}),
        cluster(nodes={"kind": "List", "items": NODES}),
        cluster(nodes={one["metadata"]["name"]: one for one in NODES}),
        cluster(nodes=FLAT),
        row(cluster=NODES),
        row(cluster={"kind": "List", "items": NODES}),
        cluster(pods=[{**POD, "spec": {**POD["spec"], "nodeName": "a"}}]),
        cluster(version="v1.33.4-eks-abc"),
        cluster(version=1.33),
        cluster(version={"major": "1", "minor": "33+"}),
        cluster(featureGates="DRAExtendedResource=true,TaintTolerationComparisonOperators=false"),
        cluster(featureGates=["DRAExtendedResource"]),
        row(schedulable_nodes=[NODES[0]]),
        row(schedulable_nodes={"a": True, "b": False, "c": False}),
        row(reasons=None),
        row(reasons=EVENT),
        row(reasons=[EVENT]),
        row(reasons={"b": ["node(s) had taint {nvidia.com/gpu: present}, that the pod didn't tolerate"]}),
        row(reasons={"Insufficient nvidia.com/gpu": 1, "node(s) had untolerated taint(s)": 1}),
        row(reasons={"Insufficient nvidia.com/gpu": ["c"]}),
        row(reasons=[{"node": "c", "reasons": ["Insufficient nvidia.com/gpu"]}]),
        row(reasons={"c": {"plugin": "NodeResourcesFit", "message": "Insufficient nvidia.com/gpu"}}),
        row(reasons=["something that no release says"]),
    ],
)
def test_every_way_to_write_a_row_agrees(written: dict[str, Any]) -> None:
    before = copy.deepcopy(written)
    assert differences(written) == []
    assert written == before


@pytest.mark.parametrize(
    "wrong",
    [
        row(schedulable_nodes=[]),
        row(schedulable_nodes=["a", "c"]),
        row(schedulable_nodes=["a", "elsewhere"]),
        row(reasons={"c": "node(s) had untolerated taint(s)"}),
        row(reasons={"b": "node(s) had untolerated taint {nvidia.com/gpu: absent}"}),
        row(reasons={"b": "node(s) had untolerated taint {other: present}"}),
        row(reasons=["Insufficient cpu"]),
        row(reasons={"Insufficient cpu": 2}),
        row(reasons={"Insufficient nvidia.com/gpu": ["b"]}),
        row(reasons="0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."),
    ],
)
def test_a_wrong_verdict_or_reason_never_agrees(wrong: dict[str, Any]) -> None:
    assert differences(wrong) != []


@pytest.mark.parametrize(
    "broken",
    [
        row(pod=None),
        row(pod={"metadata": {"name": "server"}}),
        row(cluster=None),
        cluster(nodes=[]),
        row(schedulable_nodes=None),
        [],
    ],
)
def test_a_row_that_says_too_little_is_no_case(broken: Any) -> None:
    with pytest.raises(CaseError):
        read_case(broken)


@pytest.mark.parametrize(
    ("written", "release"),
    [
        ("1.34", "1.34"),
        ("v1.34.2", "1.34"),
        ("v1.34.0-eks-5f2d1", "1.34"),
        (1.34, "1.34"),
        (1.3, "1.30"),
        (34, "1.34"),
        ({"minor": 34}, "1.34"),
        ({"major": "1", "minor": "34+"}, "1.34"),
        ({"serverVersion": {"gitVersion": "v1.34.2"}}, "1.34"),
    ],
)
def test_releases(written: Any, release: str) -> None:
    assert version_text(written) == release


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("node(s) had untolerated taint {k: v}", "taint"),
        ("node(s) had taint {k: v}, that the pod didn't tolerate", "taint"),
        ("node(s) had taints that the pod didn't tolerate", "taint"),
        ("node(s) didn't match node selector", "affinity"),
        ("node(s) didn't match Pod's node affinity", "affinity"),
        ("node(s) didn't match Pod's node affinity/selector", "affinity"),
        ("node(s) didn't match PersistentVolume's node affinity", "volume-affinity"),
        ("node(s) had volume node affinity conflict", "volume-affinity"),
        ("1 Insufficient nvidia.com/mig-1g.5gb.", "resource nvidia.com/mig-1g.5gb"),
        ("resourceclaim in use", "dra-in-use"),
        ("what nobody knows", None),
    ],
)
def test_older_and_newer_words(text: str, kind: str | None) -> None:
    assert kind_of(text) == kind


def test_an_event_is_read_part_by_part() -> None:
    assert [text for _, text in messages(EVENT)] == [
        "0/3 nodes are available: 1 Insufficient nvidia.com/gpu",
        "1 node(s) had untolerated taint {nvidia.com/gpu: present}",
    ]


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2", "v1"])
def test_device_objects_of_every_version(version: str) -> None:
    device: dict[str, Any] = {
        "attributes": {"type": {"string": "gpu"}},
        "capacity": {"memory": {"value": "80Gi"}},
    }
    request: dict[str, Any] = {"deviceClassName": "gpu", "count": 2}
    flat = version == "v1beta1"
    devices = [{"name": f"gpu-{i}", **({"basic": device} if flat else device)} for i in range(2)]
    requests = [{"name": "r", **(request if flat else {"exactly": request})}]
    where = {"apiVersion": f"resource.k8s.io/{version}"}
    expression = 'device.attributes["gpu.example.com"].type == "gpu"'
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    case = {
        "pod": {"resourceClaims": [{"name": "g", "resourceClaimTemplateName": "t"}], "containers": []},
        "cluster": {
            "nodes": [node("a", 0), node("b", 0)],
            "resource_slices": [
                {
                    **where,
                    "metadata": {"name": "s"},
                    "spec": {"driver": "gpu.example.com", "nodeName": "a", "pool": pool, "devices": devices},
                }
            ],
            "resourceClaimTemplates": [
                {**where, "metadata": {"name": "t"}, "spec": {"spec": {"devices": {"requests": requests}}}}
            ],
            "deviceClasses": [
                {
                    **where,
                    "metadata": {"name": "gpu"},
                    "spec": {"selectors": [{"cel": {"expression": expression}}]},
                }
            ],
            "version": {"v1beta1": "1.32", "v1beta2": "1.33", "v1": "1.34"}[version],
        },
        "schedulable_nodes": ["a"],
        "reasons": {"b": "cannot allocate all claims"},
    }
    assert differences(case) == []
    requests[0].get("exactly", requests[0])["count"] = 3
    assert differences(case) != []


def test_the_last_line_counts_rows_and_a_broken_one_does_not_agree(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    lines = [json.dumps(row()), "", json.dumps(row(schedulable_nodes=[])), "{broken"]
    file.write_text("\n".join(lines), "utf-8")
    script = str(ROOT / "benchmarks" / "placement" / "replay.py")
    done = subprocess.run(
        [sys.executable, script, "-v", str(file)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1], done.stderr) == (1, "agree 1 of 3", "")
