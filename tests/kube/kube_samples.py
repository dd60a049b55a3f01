"""Objects and workloads from text, for the tests of this room."""

from __future__ import annotations

from textwrap import dedent

from vllmlint.kube.env import ConfigMapLookup
from vllmlint.kube.objects import KubeObject, objects_of
from vllmlint.kube.pods import Container, Workload, workloads_of
from vllmlint.manifest.reader import read_manifest


def objects(text: str, path: str = "dir/file.yaml") -> list[KubeObject]:
    """The objects of a file."""
    return objects_of(read_manifest(path, dedent(text).encode()))[0]


def workloads(text: str, path: str = "dir/file.yaml") -> list[Workload]:
    """The pod templates of all objects of a file."""
    return [workload for obj in objects(text, path) for workload in workloads_of(obj)]


def container(fields: str, pod: str = "") -> Container:
    """The first container of a Pod, with these fields and these fields of the pod's spec."""
    body = "".join(f"      {line}\n" for line in dedent(fields).strip("\n").split("\n"))
    rest = "".join(f"  {line}\n" for line in dedent(pod).strip("\n").split("\n"))
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: pod}\nspec:\n"
        f"{rest}  containers:\n    - name: main\n      image: i\n{body}"
    )
    (workload,) = workloads(text)
    return workload.containers[0]


def config_maps(text: str) -> ConfigMapLookup:
    """A lookup over the ConfigMaps of a text."""
    found = {}
    for obj in objects(text):
        data = obj.node.mapping("data")
        assert data is not None
        found[obj.name] = (obj, {key: node for key in data.entries if (node := data.scalar(key)) is not None})
    return found.get
