"""Who sees whom: file, directory, upwards; within one namespace and one environment."""

from __future__ import annotations

import pytest
from kube_samples import objects

from vllmlint.kube.index import Index, selects
from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload, workloads_of


def made(
    path: str, *, kind: str = "Service", name: str = "a", namespace: str = "", note: str = ""
) -> KubeObject:
    """An object in a file of its own; `note` tells it from others of its identity."""
    metadata = f"name: {name}, labels: {{note: '{note or path}'}}"
    if namespace:
        metadata += f", namespace: {namespace}"
    (obj,) = objects(f"apiVersion: v1\nkind: {kind}\nmetadata: {{{metadata}}}\n", path)
    return obj


def index(*found: KubeObject, environments: dict[str, str] | None = None) -> Index:
    """An index in which a file's environment follows from its first directory."""
    known = environments or {}
    return Index(found, lambda path: known.get(path.split("/")[0]))


def seen(found: Index, seeker: KubeObject, kind: str = "Service") -> list[str]:
    """The notes of what an object sees, in order."""
    return [obj.labels["note"] for obj in found.nearby(kind, seeker)]


@pytest.mark.parametrize(
    ("seeker", "target", "sees"),
    [
        ("a/x.yaml", "a/x.yaml", True),
        ("a/x.yaml", "a/y.yaml", True),
        ("a/b/x.yaml", "a/y.yaml", True),
        ("a/b/c/x.yaml", "y.yaml", True),
        ("x.yaml", "y.yaml", True),
        ("/r/a/x.yaml", "/r/y.yaml", True),
        ("../a/x.yaml", "../y.yaml", True),
        ("a/x.yaml", "b/y.yaml", False),
        ("a/x.yaml", "a/b/y.yaml", False),
        ("x.yaml", "a/y.yaml", False),
        ("a/b/x.yaml", "a/c/y.yaml", False),
        ("ab/x.yaml", "a/y.yaml", False),
        ("../a/x.yaml", "y.yaml", False),
        ("../../a/x.yaml", "../y.yaml", False),
    ],
)
def test_sight(seeker: str, target: str, sees: bool) -> None:
    assert seen(index(made(target, note="it")), made(seeker, kind="Pod")) == ["it"] * sees


def test_the_nearest_comes_first_and_hides_its_variants() -> None:
    text = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: {note: file}}\n---\n"
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
    )
    same_file, seeker = objects(text, "top/dir/m.yaml")
    found = index(
        made("top/a.yaml", note="above"),
        made("top/dir/a.yaml", note="beside"),
        same_file,
        made("top/b.yaml", name="b", note="b above"),
        made("b.yaml", name="b", note="b far above"),
    )
    assert seen(found, seeker) == ["file", "b above"]
    assert seen(found, made("top/dir/z.yaml", kind="Pod")) == ["beside", "b above"]
    assert seen(found, made("top/z.yaml", kind="Pod")) == ["above", "b above"]


def test_a_farther_variant_does_not_change_the_order() -> None:
    found = index(
        made("top/dir/a.yaml", name="a", note="a"),
        made("top/b.yaml", name="b", note="b"),
        made("a.yaml", name="a", note="a far above"),
    )
    assert seen(found, made("top/dir/z.yaml", kind="Pod")) == ["a", "b"]


def test_a_service_that_a_nearer_one_of_its_name_replaces_selects_nothing() -> None:
    spec = "spec: {selector: {app: a}}"
    (near,) = objects("apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {}\n", "dir/file.yaml")
    (far,) = objects(f"apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\n{spec}\n", "file.yaml")
    assert index(far).services_of(deployment("{app: a}")) == [far]
    assert index(far, near).services_of(deployment("{app: a}")) == []


def test_the_order_of_files_decides_whoever_read_them_first() -> None:
    twins = [made("d/2.yaml", note="second"), made("d/1.yaml", note="first")]
    for order in (twins, twins[::-1]):
        assert seen(index(*order), made("d/z.yaml", kind="Pod")) == ["first"]


@pytest.mark.parametrize(
    ("ours", "theirs", "sees"),
    [("", "", True), ("x", "x", True), ("x", "", True), ("", "x", True), ("x", "y", False)],
)
def test_one_namespace(ours: str, theirs: str, sees: bool) -> None:
    found = index(made("a.yaml", namespace=theirs, note="it"))
    assert seen(found, made("b.yaml", kind="Pod", namespace=ours)) == ["it"] * sees


def test_another_namespace_does_not_hide_ours() -> None:
    found = index(made("d/a.yaml", namespace="x", note="theirs"), made("a.yaml", namespace="y", note="ours"))
    assert seen(found, made("d/b.yaml", kind="Pod", namespace="y")) == ["ours"]


@pytest.mark.parametrize(
    ("target", "sees"),
    [("prod/y.yaml", True), ("base.yaml", True), ("prod.yaml", True), ("other.yaml", False)],
)
def test_one_environment(target: str, sees: bool) -> None:
    environments = {"prod": "production", "prod.yaml": "production", "other.yaml": "staging"}
    found = index(made(target, note="it"), environments=environments)
    assert seen(found, made("prod/x.yaml", kind="Pod")) == ["it"] * sees


def test_kinds_that_nobody_refers_to_are_not_kept() -> None:
    found = index(made("a.yaml", kind="Deployment"), made("a.yaml", kind="Secret", note="s"))
    seeker = made("b.yaml", kind="Pod")
    assert seen(found, seeker, "Deployment") == []
    assert seen(found, seeker, "Secret") == ["s"]


def test_by_name() -> None:
    claim = made("a.yaml", kind="PersistentVolumeClaim", name="models")
    found = index(claim)
    seeker = made("b.yaml", kind="Pod")
    assert found.named("PersistentVolumeClaim", "models", seeker) is claim
    assert found.named("PersistentVolumeClaim", "other", seeker) is None
    assert found.named("ConfigMap", "models", seeker) is None


def test_the_data_of_a_config_map() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: x, b: 1, c: [y]}\n"
    (config_map,) = objects(text, "a.yaml")
    found = index(config_map).config_map_data("c", made("b.yaml", kind="Pod"))
    assert found is not None
    assert found[0] is config_map
    assert {key: node.text for key, node in found[1].items()} == {"a": "x", "b": "1"}
    assert index().config_map_data("c", config_map) is None


def deployment(labels: str) -> Workload:
    """A Deployment whose pods carry these labels."""
    (obj,) = objects(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  template:\n"
        f"    metadata: {{labels: {labels}}}\n    spec: {{containers: [{{name: a, image: i}}]}}\n"
    )
    (workload,) = workloads_of(obj)
    return workload


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ("{app: a}", "{app: a}", True),
        ("{app: a}", "{app: a, tier: x}", True),
        ("{app: a, tier: x}", "{app: a}", False),
        ("{app: b}", "{app: a}", False),
        ("{app: '1'}", "{app: 1}", True),
        ("{}", "{app: a}", False),
        ("null", "{app: a}", False),
    ],
)
def test_selectors(selector: str, labels: str, matches: bool) -> None:
    (service,) = objects(
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{selector: {selector}}}\n"
    )
    workload = deployment(labels)
    assert selects(service, workload) is matches
    assert index(service).services_of(workload) == [service] * matches
