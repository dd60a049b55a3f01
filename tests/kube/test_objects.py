"""Which documents are objects, and why the others are not."""

from __future__ import annotations

import pickle

import pytest
from kube_samples import objects

from vllmlint.kube.objects import objects_of
from vllmlint.manifest.reader import read_manifest


def reasons(text: str, path: str = "file.yaml") -> list[tuple[int | None, int, str]]:
    """Number, line and reason of every document that holds no object."""
    _, skipped = objects_of(read_manifest(path, text.encode()))
    return [(one.index, one.place.line, one.reason) for one in skipped]


def test_an_object() -> None:
    (obj,) = objects(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: b, labels: {c: 1}}\n"
    )
    assert (obj.api_version, obj.group, obj.kind, obj.name, obj.namespace) == (
        "apps/v1",
        "apps",
        "Deployment",
        "a",
        "b",
    )
    assert obj.labels == {"c": "1"}
    assert obj.title == "Deployment/a"
    assert obj.directory == "dir"
    assert obj.anchor.place.text == "a"


@pytest.mark.parametrize(
    ("text", "title", "anchor"),
    [
        ("apiVersion: v1\nkind: Pod\n", "Pod", "Pod"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n", "Pod/a-", "Pod"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: null}\n", "Pod", "Pod"),
        ("apiVersion: v1\nkind: Pod\nmetadata: name\n", "Pod", "Pod"),
    ],
)
def test_an_object_without_a_name(text: str, title: str, anchor: str) -> None:
    (obj,) = objects(text)
    assert obj.title == title
    assert obj.anchor.place.text == anchor
    assert obj.group == ""
    assert obj.labels == {}


def test_lists_are_opened_up() -> None:
    found = objects(
        """\
        apiVersion: v1
        kind: List
        items:
          - {apiVersion: v1, kind: Pod, metadata: {name: a}}
          - apiVersion: apps/v1
            kind: DeploymentList
            items:
              - {apiVersion: apps/v1, kind: Deployment, metadata: {name: b}}
              - not an object
        ---
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c"}}
        """
    )
    assert [(obj.document, obj.title) for obj in found] == [(0, "Pod/a"), (0, "Deployment/b"), (1, "Pod/c")]


def test_a_kind_that_ends_with_list_but_has_no_items_is_an_object() -> None:
    assert [obj.kind for obj in objects("apiVersion: x/v1\nkind: AllowList\nspec: {}\n")] == ["AllowList"]


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("a: 1\n", "file.yaml", "not a Kubernetes object"),
        ("- 1\n", "file.yaml", "not a Kubernetes object"),
        ("just text\n", "file.yaml", "not a Kubernetes object"),
        ("kind: Pod\n", "file.yaml", "not a Kubernetes object"),
        ("apiVersion: v1\nkind: null\n", "file.yaml", "not a Kubernetes object"),
        ("apiVersion: v1\nkind: List\nitems: []\n", "file.yaml", "empty list"),
        ("a: 1\n", "charts/values-prod.yaml", "Helm values file"),
        ("apiVersion: v2\nname: a\n", "charts/Chart.yaml", "Helm chart metadata"),
        ("resources: [a.yaml]\n", "base/kustomization.yaml", "kustomization file"),
        (
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
            "base/kustomization.yaml",
            "kustomization file",
        ),
        (
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [a.yaml]\n",
            "component.yaml",
            "kustomization file",
        ),
    ],
)
def test_what_is_no_object(text: str, path: str, reason: str) -> None:
    assert reasons(text, path) == [(0, 1, reason)]


def test_the_line_of_a_document_that_is_no_object() -> None:
    text = "apiVersion: v1\nkind: Pod\n---\na: 1\n---\napiVersion: v1\nkind: Pod\n"
    assert reasons(text) == [(1, 3, "not a Kubernetes object")]


def test_an_object_crosses_processes_without_the_rest_of_its_file() -> None:
    text = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: {b: c}}\n---\napiVersion: v1\nkind: Pod\n"
    )
    obj = objects(text)[0]
    again = pickle.loads(pickle.dumps(obj))
    assert (again.title, again.labels, again.directory) == (obj.title, {"b": "c"}, "dir")
    assert again.file.documents == []
    assert again.anchor.place.text == "a"
    assert again.anchor.place.line == 3
