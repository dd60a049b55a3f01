"""The table of placement cases, written short, and the API objects it stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

TABLES = ("table.yaml", "table_pods.yaml", "table_devices.yaml")
#: What a node offers where a case does not say.
ALLOCATABLE = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "500Gi", "pods": "110"}
_CLUSTER_LISTS = (
    "claims",
    "slices",
    "deviceClasses",
    "persistentVolumeClaims",
    "persistentVolumes",
    "storageClasses",
    "namespaces",
)


def table() -> list[dict[str, Any]]:
    """Every case with full objects."""
    here = Path(__file__).parent
    rows = [row for name in TABLES for row in yaml.safe_load((here / name).read_text("utf-8"))]
    return [expand(row) for row in rows]


def expand(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the table with its shorthand written out."""
    cluster = {
        "nodes": [node(name, short or {}) for name, short in row["nodes"].items()],
        "pods": [pod({"name": f"running-{i}", **short}) for i, short in enumerate(row.get("running", ()))],
        **{key: row[key] for key in _CLUSTER_LISTS if key in row},
    }
    for key in ("version", "featureGates"):
        if key in row:
            cluster[key] = row[key]
    return {
        "name": row["name"],
        "section": str(row["section"]),
        "pod": pod({"name": "server", **(row.get("pod") or {})}),
        "cluster": cluster,
        "cluster_nodes": list(row["nodes"]),
        "fits": row["fits"],
        # what the API server adds or kubelet decides is nothing that the scheduler can be asked about
        "recorded": row.get("recorded", True) and "version" not in row,
        "why": row.get("why", {}),
    }


def node(name: str, short: dict[str, Any]) -> dict[str, Any]:
    """A node: `labels`, `taints` as `key=value:Effect`, `offers` on top of the usual, `cordoned`."""
    labels = {"kubernetes.io/hostname": name, **short.get("labels", {})}
    spec: dict[str, Any] = {}
    if short.get("taints"):
        spec["taints"] = [taint(text) for text in short["taints"]]
    if short.get("cordoned"):
        spec["unschedulable"] = True
    offers = {key: str(value) for key, value in {**ALLOCATABLE, **short.get("offers", {})}.items()}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"allocatable": offers, "capacity": offers},
    }


def taint(text: str) -> dict[str, str]:
    """A taint from kubectl's way of writing it."""
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    return {"key": key, "value": value, "effect": effect} if value else {"key": key, "effect": effect}


def pod(short: dict[str, Any]) -> dict[str, Any]:
    """A pod: `asks` are the requests of its only container (`limits` its limits); `at` its node; `phase` and
    `leaving` its state; anything else is a field of its spec."""
    rest = dict(short)
    metadata = {"name": rest.pop("name"), "namespace": rest.pop("namespace", "default")}
    if labels := rest.pop("labels", None):
        metadata["labels"] = labels
    if rest.pop("leaving", False):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status = {"phase": phase} if (phase := rest.pop("phase", None)) else {}
    resources = {
        section: {key: str(value) for key, value in amounts.items()}
        for section, amounts in (("requests", rest.pop("asks", None)), ("limits", rest.pop("limits", None)))
        if amounts
    }
    for name in [key for key in resources.get("requests", {}) if "/" in key or key.startswith("hugepages-")]:
        resources.setdefault("limits", {}).setdefault(name, resources["requests"][name])
    if at := rest.pop("at", None):
        rest["nodeName"] = at
    main: dict[str, Any] = {"name": "main", "image": "vllm/vllm-openai:v0.33.0"}
    if resources:
        main["resources"] = resources
    if ports := rest.pop("ports", None):
        main["ports"] = ports
    spec = {"containers": [main], **rest}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}
