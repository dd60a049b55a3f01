"""The tables of nodes: labels, machine types, taints (see `build_hardware_tables`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]

#: The platform (or the component on any platform) that sets a label, by the research's name for it.
_SETTERS = {
    "NVIDIA GFD": "gfd",
    "NVIDIA GPU operator": "nvidia-gpu-operator",
    "GKE": "gke",
    "Karpenter AWS": "karpenter-aws",
    "Karpenter": "karpenter",
    "EKS Auto Mode": "eks",
    "EKS managed node groups": "eks",
    "AWS convention": "aws-convention",
    "AKS": "aks",
    "AKS (legacy) and user convention": "aks-legacy",
    "Karpenter Azure": "karpenter-azure",
    "CoreWeave": "coreweave",
    "DigitalOcean": "doks",
    "Crusoe": "crusoe",
    "Alibaba ACK": "ack",
    "Alibaba ACS": "ack",
    "AMD node labeller": "amd-node-labeller",
    "Intel NFD rules": "intel-nfd",
    "SkyPilot": "skypilot",
    "unclear": "unclear",
    "every managed platform": "kubernetes",
    "kubelet": "kubernetes",
    "cloud provider": "kubernetes",
    "NFD": "nfd",
}
#: Beginnings of label keys that only one platform uses (the table's own rows, and the providers' domains).
_PLATFORM_PREFIXES = {
    "cloud.google.com/": "gke",
    "eks.amazonaws.com/": "eks",
    "karpenter.k8s.aws/": "eks",
    "kubernetes.azure.com/": "aks",
    "karpenter.azure.com/": "aks",
    "node.coreweave.cloud/": "coreweave",
    "backend.coreweave.cloud/": "coreweave",
    "gpu.nvidia.com/class": "coreweave",
    "gpu.nvidia.com/model": "coreweave",
    "doks.digitalocean.com/": "doks",
    "crusoe.ai/": "crusoe",
    "aliyun.accelerator/": "ack",
    "alibabacloud.com/": "ack",
    "oci.oraclecloud.com/": "oke",
}
_GKE_DOCS = "https://cloud.google.com/kubernetes-engine/docs/"
#: Labels that the research lacks.
_MORE_LABELS: list[Row] = [
    {
        "key": "cloud.google.com/gke-gpu-sharing-strategy",
        "by": "gke",
        "meaning": "how containers share a GPU: time-sharing or mps",
        "type": "enum",
        "values": {"time-sharing": [], "mps": []},
        "note": "a container may ask for one share at most",
        "source": _GKE_DOCS + "concepts/timesharing-gpus",
    },
    {
        "key": "cloud.google.com/gke-max-shared-clients-per-gpu",
        "by": "gke",
        "meaning": "containers that may share one GPU",
        "type": "int",
        "source": _GKE_DOCS + "concepts/timesharing-gpus",
    },
    {
        "key": "cloud.google.com/gke-gpu-partition-size",
        "by": "gke",
        "meaning": "the MIG profile that every GPU of the pool is cut into",
        "type": "string",
        "source": _GKE_DOCS + "how-to/gpus-multi",
    },
]
#: Labels whose values many cards share: the research lists only the ones it met.
_FAMILIES = {f"{prefix}amd.com/gpu.{name}" for prefix in ("", "beta.") for name in ("vram", "family")} | {
    "gpu.intel.com/family"
}
#: Labels whose values follow from another table: nothing to list here.
_ELSEWHERE = {"node.kubernetes.io/instance-type", "nvidia.com/gpu.memory", "nvidia.com/gpu.family"}


def filled(row: Row) -> Row:
    """A row without what is unset."""
    return {key: value for key, value in row.items() if value not in (None, [], {}, "")}


def short_source(texts: Iterable[str | None]) -> str:
    """The sources of a row in one line, without what they share with the table's own description."""
    seen: list[str] = []
    for text in texts:
        for part in (text or "").split("; "):
            short = re.sub(r"^public GitHub file \((public file [0-9]+)\)", r"\1", part)
            short = re.sub(r"^vLLM memory study.*section (2\.7)\)", r"vllm-memory.md \1", short)
            if short and short not in seen:
                seen.append(short)
    return "; ".join(seen)


def label_table(research: Row, products: set[str]) -> Row:
    """What node labels mean, and which GPUs their values name."""
    return {
        "date": research["date"],
        "about": (
            "`values`: the GPUs (ids of `gpus.json`) that a value names; an empty list names none. "
            "`likely`: values that were seen in use, but not confirmed as what the platform sets. "
            "Product labels of the drivers are in `gpus.json` (`products`), machine types in "
            "`instance_types.json`. `platforms`: beginnings of keys that tell the platform."
        ),
        "platforms": _PLATFORM_PREFIXES,
        "labels": [*(_label_row(row, products) for row in research["labels"]), *_MORE_LABELS],
    }


def _label_row(row: Row, products: set[str]) -> Row:
    key = row["key"]
    values = [] if key in _ELSEWHERE else [one for one in row["values"] if _is_own(key, one, products)]
    named = {value["value"]: [] if key in _FAMILIES else value["gpu_ids"] for value in values}
    return filled(
        {
            "key": key,
            "by": _SETTERS[row["provider"]],
            "meaning": row["meaning"],
            "type": row["value_type"],
            "values": named,
            "likely": [value["value"] for value in values if value["status"] != "exact"],
            "note": row["note"],
            "source": short_source([row["source"]]) or short_source(value["source"] for value in values),
        }
    )


def _is_own(key: str, value: Row, products: set[str]) -> bool:
    """Whether a value says something that the product strings of `gpus.json` do not."""
    if key != "nvidia.com/gpu.product":
        return True
    derived = value["value"].endswith("-SHARED") or "-MIG-" in value["value"]
    return not derived and value["value"] not in products


#: The managed Kubernetes of a cloud.
_PLATFORM_OF_CLOUD = {
    "aws": "eks",
    "gcp": "gke",
    "azure": "aks",
    "oci": "oke",
    "digitalocean": "doks",
    "coreweave": "coreweave",
    "crusoe": "crusoe",
}
#: Allocatable that a note of the research states, in place of the machine's figures.
_ALLOCATABLE = re.compile(r"GKE allocatable ([0-9.]+) CPU and ([0-9.]+) GiB")


def instance_table(research: Row) -> Row:
    """Cloud machine types with accelerators."""
    rows = [_instance_row(row) for row in research["instances"] if "*" not in row["type"]]
    return {
        "date": research["date"],
        "about": (
            "`gpus`: ids of `gpus.json`, several where the source does not tell which. `count` is "
            "left out where the node pool decides it; `fraction`: the part of one GPU. `cpu` and "
            "`memory_gib`: the machine's; less is allocatable, see `allocatable` (cpu, GiB) where it "
            "was read. `resources`: what the vendor's device plugin advertises without sharing and "
            "MIG. `label`: the value of node.kubernetes.io/instance-type where it is not `type`."
        ),
        "instances": rows,
    }


def _instance_row(row: Row) -> Row:
    note = row["note"] or ""
    allocatable = _ALLOCATABLE.search(note)
    return filled(
        {
            "type": row["type"],
            "cloud": row["cloud"],
            "platform": _PLATFORM_OF_CLOUD.get(row["cloud"]),
            "label": row["type"].split("_")[0] if row["cloud"] == "nebius" else None,
            "gpus": [row["gpu_id"]] if row["gpu_id"] else row["gpu_candidates"],
            "count": row["gpu_count"],
            "fraction": row["gpu_fraction"],
            "links": row["interconnect"],
            "arch": row["arch"] if row["arch"] != "amd64" else None,
            "cpu": row["vcpu"],
            "memory_gib": row["memory_gib"],
            "allocatable": [float(part) for part in allocatable.groups()] if allocatable else None,
            "resources": row["expected_resources"],
            "note": note,
            "source": short_source([row["source"]]),
        }
    )


def taint_table(research: Row) -> Row:
    """The taints that platforms put on nodes, and who adds a toleration."""
    rows = [row for row in research["taints"] if row["key"][0] != "("]
    return {
        "date": research["date"],
        "about": (
            "`by`: `platform` (on such nodes by default), `condition` (a state of the node), "
            "`convention` (guides tell users to set it) or `unknown`. `added`: whether something adds"
            " the toleration, and who. `values`: empty for any value."
        ),
        "extended_resource_toleration": {"gke": True, "aks": False, "eks": False},
        "taints": [_taint_row(row) for row in rows],
    }


def _taint_row(row: Row) -> Row:
    value = row["value"]
    return filled(
        {
            "platform": row["platform"],
            "key": row["key"],
            "value": None if value is None or value.startswith("(") or " or " in value else value,
            "any_value": value is None or value == "(any)" or " or " in value or None,
            "effects": row["effect"].split(" and "),
            "when": row["when"],
            "by": _taint_by(row),
            "added": row["toleration_added_automatically"] or None,
            "added_by": row["added_by"] if row["toleration_added_automatically"] else None,
            "missing": row["missing_toleration"],
            "confidence": row["confidence"],
            "source": short_source([row["source"]]),
        }
    )


def _taint_by(row: Row) -> str:
    if row["platform"] in {"kubernetes", "karpenter", "amd-gpu-operator"}:
        return "condition"
    text = row["applied_by"] or ""
    if text.startswith("platform"):
        return "platform"
    return "unknown" if text in {"unknown", "not applied"} else "convention"
