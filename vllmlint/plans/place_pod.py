"""A workload's pod as the scheduler sees it, and the places of its fields."""

from __future__ import annotations

from typing import Any

from vllmlint.kube.plain_data import place_of, plain_data
from vllmlint.kube.pods import Workload
from vllmlint.kube.scheduling.read_pod import read_pod
from vllmlint.kube.scheduling.records import Pod, Route
from vllmlint.manifest.text import Place

#: Kueue gives the pods of a queued workload the selector and tolerations of the flavor that it chooses.
_QUEUE = "kueue.x-k8s.io/queue-name"


def pod_data(workload: Workload) -> dict[str, Any]:
    """The pod of a workload as plain data; what the manifest leaves to its controller is not in it."""
    metadata = plain_data(workload.template.at("metadata"))
    named = {"name": workload.object.name, "namespace": workload.object.namespace or "default"}
    return {
        "metadata": {**(metadata if isinstance(metadata, dict) else {}), **named},
        "spec": plain_data(workload.spec),
    }


def pod_of(workload: Workload, version: tuple[int, int], *, fields: tuple[str, ...] = ()) -> Pod:
    """The pod of a workload for a cluster of a release; with `fields` as if its spec had these alone."""
    if not fields:
        return read_pod(pod_data(workload), version)
    return read_pod({"spec": {name: plain_data(workload.spec.at(name)) for name in fields}}, version)


def field_place(workload: Workload, route: Route) -> Place | None:
    """Where a field of the pod is written; None where it is not."""
    return place_of(workload.spec, route[1:]) if route[:1] == ("spec",) else None


def completed_by_others(workload: Workload) -> str:
    """Who may add selectors and tolerations that the manifest does not show; empty when nobody does."""
    if workload.carrier == "other":
        return f"the controller of {workload.object.title}"
    if _QUEUE in {**workload.labels, **workload.object.labels}:
        return "Kueue"
    return ""
