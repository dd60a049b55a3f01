"""Recorded placement cases as others write them, in the one shape that the replay works on.

Only how a case is written is forgiven here; nothing in this file knows what a verdict should be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

#: The lists of a cluster by what they may be called, in lower case without `_` and `-`.
_LISTS = {
    "nodes": ("nodes", "node", "nodelist"),
    "pods": ("pods", "pod", "podlist", "runningpods", "existingpods", "running"),
    "slices": ("slices", "resourceslices", "resourceslice"),
    "claims": ("claims", "resourceclaims", "resourceclaim"),
    "templates": ("templates", "resourceclaimtemplates", "resourceclaimtemplate", "claimtemplates"),
    "deviceClasses": ("deviceclasses", "deviceclass", "classes"),
    "deviceTaintRules": ("devicetaintrules", "devicetaintrule", "taintrules"),
    "persistentVolumeClaims": ("persistentvolumeclaims", "persistentvolumeclaim", "pvcs", "volumeclaims"),
    "persistentVolumes": ("persistentvolumes", "persistentvolume", "pvs", "volumes"),
    "storageClasses": ("storageclasses", "storageclass", "scs"),
    "namespaces": ("namespaces", "namespace"),
}
_LIST_OF = {name: key for key, names in _LISTS.items() for name in names}
_GATES = ("featuregates", "gates")
_POD_FIELDS = frozenset(
    ("containers", "initContainers", "nodeSelector", "affinity", "tolerations", "resourceClaims", "volumes")
)
_VERDICT_KEYS = ("schedulable_nodes", "schedulableNodes", "feasible_nodes", "feasibleNodes", "nodes_that_fit")


class CaseError(ValueError):
    """A row that is no case; the text says why."""


def read_case(row: Any) -> dict[str, Any]:
    """A row as `{name, pod, cluster, schedulable_nodes, reasons}` with whole objects.

    Raises CaseError for a row without a pod, without nodes or without a verdict: it must not count as agreed.
    """
    if not isinstance(row, Mapping):
        raise CaseError("the row is no object")
    cluster = _cluster(_parsed(row.get("cluster")), row)
    pod = _pod(_parsed(row.get("pod")))
    if not cluster["nodes"]:
        raise CaseError("the cluster has no nodes")
    found = next((row[key] for key in _VERDICT_KEYS if row.get(key) is not None), None)
    if found is None:
        raise CaseError("no schedulable_nodes")
    # a dump made afterwards holds the pod itself
    own = _identity(pod)
    cluster["pods"] = [one for one in map(_pod, cluster["pods"]) if _identity(one) != own]
    return {
        "name": row.get("name") or row.get("id") or "",
        "pod": pod,
        "cluster": cluster,
        "schedulable_nodes": _names(found),
        "reasons": row.get("reasons"),
    }


def _parsed(value: Any) -> Any:
    """A value, or what its text says: objects may be recorded as JSON or YAML text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        import yaml

        return yaml.safe_load(value)


def _pod(value: Any) -> dict[str, Any]:
    """A pod from its object, from a bare spec, from a pod template or from a workload that has one."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, Mapping):
        raise CaseError("no pod")
    spec = value.get("spec")
    if not isinstance(spec, Mapping):
        if not _POD_FIELDS & value.keys():
            raise CaseError("no pod")
        named = {key: value[key] for key in ("name", "namespace", "labels") if key in value}
        return {"metadata": value.get("metadata") or named, "spec": value, "status": {}}
    template = spec.get("template")
    if isinstance(template, Mapping) and isinstance(template.get("spec"), Mapping):
        metadata = value.get("metadata")
        outer = metadata if isinstance(metadata, Mapping) else {}
        own = {key: outer[key] for key in ("name", "namespace") if key in outer}
        return {"metadata": {**own, **(template.get("metadata") or {})}, "spec": template["spec"]}
    return dict(value)


def _identity(pod: Mapping[str, Any]) -> tuple[str, str] | None:
    metadata = pod.get("metadata") or {}
    name = metadata.get("name")
    return (str(metadata.get("namespace") or "default"), str(name)) if name else None


def _cluster(value: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """The lists of a cluster under their names, and its release and gates; what it has none of is empty.

    Lists may stand in the row itself, be List objects, or mappings from names; a plain list of objects is
    sorted by their kinds.
    """
    if isinstance(value, list) or (isinstance(value, Mapping) and isinstance(value.get("items"), list)):
        value = _by_kind(value if isinstance(value, list) else value["items"])
    data = value if isinstance(value, Mapping) else {}
    cluster: dict[str, Any] = {key: [] for key in _LISTS}
    for key, listed in data.items():
        name = _LIST_OF.get(_plain(key))
        if name is not None:
            cluster[name] += _objects(_parsed(listed))
        elif _plain(key) in _GATES:
            cluster["featureGates"] = _gates(listed)
        elif _plain(key) in {"objects", "extra"}:
            for kind, more in _by_kind(_objects(listed)).items():
                cluster[kind] += more
    cluster["nodes"] = [_node(one) for one in cluster["nodes"]]
    for source in (data, row):
        for key in ("version", "kubernetesVersion", "kubernetes_version", "serverVersion", "k8s_version"):
            if source.get(key) is not None:
                return {**cluster, "version": version_text(source[key])}
    return cluster


def _plain(key: Any) -> str:
    return str(key).replace("_", "").replace("-", "").lower()


def _by_kind(objects: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for one in objects:
        name = _LIST_OF.get(_plain(one.get("kind"))) if isinstance(one, Mapping) else None
        if name is not None:
            found.setdefault(name, []).append(one)
    return found


def _objects(value: Any) -> list[Any]:
    """The objects of a list, of a List object, or of a mapping from names to objects."""
    if isinstance(value, Mapping) and isinstance(value.get("items"), list):
        value = value["items"]
    elif isinstance(value, Mapping) and ("metadata" in value or "spec" in value):
        value = [value]
    elif isinstance(value, Mapping):
        value = [
            {**one, "metadata": {"name": name, **(one.get("metadata") or {})}}
            for name, one in value.items()
            if isinstance(one, Mapping)
        ]
    return [_parsed(one) for one in value] if isinstance(value, list) else []


def _node(value: Any) -> dict[str, Any]:
    """A node's object, also from one written flat (`name`, `labels`, `taints`, `allocatable`); texts where
    the API has texts."""
    if isinstance(value, str):
        return {"metadata": {"name": value}}
    if not isinstance(value, Mapping):
        raise CaseError("a node is no object")
    metadata, spec, status = (dict(value.get(part) or {}) for part in ("metadata", "spec", "status"))
    for part, keys in (
        (metadata, ("name", "labels")),
        (spec, ("taints", "unschedulable")),
        (status, ("allocatable", "capacity")),
    ):
        part.update({key: value[key] for key in keys if key in value and key not in part})
    metadata["labels"] = {str(key): _text(one) for key, one in (metadata.get("labels") or {}).items()}
    spec["taints"] = [
        {**one, "value": _text(one.get("value"))}
        for one in spec.get("taints") or ()
        if isinstance(one, Mapping)
    ]
    return {**value, "kind": "Node", "metadata": metadata, "spec": spec, "status": status}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _names(value: Any) -> list[str]:
    """Names of nodes: a list of names or objects, a mapping to yes or no, or one name."""
    if isinstance(value, Mapping):
        return [str(name) for name, fits in value.items() if fits in (True, "yes", "true")]
    if isinstance(value, str):
        return [value]
    listed = value if isinstance(value, list) else []
    return [
        str((one.get("metadata") or one).get("name")) if isinstance(one, Mapping) else str(one)
        for one in listed
    ]


def _gates(value: Any) -> dict[str, bool]:
    """Feature gates as a mapping, as `A=true,B=false` or as a list of such texts."""
    if isinstance(value, Mapping):
        pairs: list[tuple[str, Any]] = [(str(key), one) for key, one in value.items()]
    else:
        texts = value if isinstance(value, list) else str(value or "").split(",")
        pairs = [
            (name.strip(), on or "true") for one in texts for name, _, on in [str(one).partition("=")] if name
        ]
    return {name: one if isinstance(one, bool) else str(one).strip().lower() == "true" for name, one in pairs}


def version_text(value: Any) -> str:
    """A release as `1.34`, from `v1.34.2`, 1.34, 34 or what `kubectl version -o json` prints."""
    if isinstance(value, Mapping):
        inner = value.get("serverVersion") or value.get("gitVersion")
        if inner is not None:
            return version_text(inner)
        return version_text(f"{value.get('major') or 1}.{value.get('minor')}")
    match = re.search(r"(\d+)\.(\d+)", str(value))
    if match is None:
        number = re.search(r"\d+", str(value))
        return f"1.{number[0]}" if number is not None else ""
    # 1.30 as a number lost its zero; there is no scheduler of 1.3 with these objects
    minor = match[2] if len(match[2]) > 1 else f"{match[2]}0"
    return f"{match[1]}.{minor}"


def messages(reasons: Any, nodes: Container[str] = ()) -> Iterator[tuple[str | None, str]]:
    """The recorded reasons as (node or None, message).

    A text (a whole event, or one reason), a list of them, a list of `{node, reason}`, a mapping from `nodes`
    to one or more, or a mapping from reasons to counts or to nodes.
    """
    if isinstance(reasons, str):
        yield from ((None, part) for part in event_parts(reasons))
    elif isinstance(reasons, Mapping):
        for key, value in reasons.items():
            if key in nodes:
                yield from ((str(key), part) for part in _texts(value))
            elif isinstance(value, list) and value and all(one in nodes for one in value):
                yield from ((one, str(key)) for one in value)
            else:
                yield from ((None, part) for part in (*event_parts(str(key)), *_texts(value)))
    elif isinstance(reasons, list):
        for one in reasons:
            if isinstance(one, Mapping):
                node = next((one[key] for key in ("node", "nodeName", "node_name") if one.get(key)), None)
                said = next((one[key] for key in _SAID if one.get(key)), None)
                yield from ((node, part) for part in _texts(said))
            else:
                yield from messages(one, nodes)


_SAID = ("reasons", "reason", "message", "messages", "text")


def _texts(value: Any) -> Iterator[str]:
    """The messages of a value: of a text, of a list, or of the values of a mapping."""
    if isinstance(value, str):
        yield from event_parts(value)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, Mapping):
        said = [value[key] for key in _SAID if value.get(key)]
        for one in said or value.values():
            yield from _texts(one)


def event_parts(text: str) -> list[str]:
    """The parts of an event's message, without what preemption says."""
    return re.split(r",\s+(?=\d+ )", re.split(r"[.,]?\s+preemption:", text)[0])
