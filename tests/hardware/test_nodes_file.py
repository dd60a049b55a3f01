"""Files of real nodes: every form kubectl prints, any size, and what is no such file."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vllmlint.hardware.nodes_file import NodesFile, NodesFileError, joined, read_nodes
from vllmlint.sources.files import SourceError
from vllmlint.sources.nodes import read_node_files

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "nodes"


def node(name: str, **labels: str) -> dict[str, Any]:
    """A small node object."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def names(text: str, size: int = 1 << 20) -> list[str]:
    """The names of the nodes in a text that comes in pieces of a size."""
    return [one.name for one in read_nodes("nodes", pieces(text, size)).nodes]


def pieces(text: str, size: int) -> Iterator[str]:
    """A text in pieces."""
    return (text[at : at + size] for at in range(0, len(text), size))


LIST = {
    "apiVersion": "v1",
    "kind": "List",
    "metadata": {"resourceVersion": ""},
    "items": [node("a"), node("b")],
}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(LIST),
        json.dumps(LIST, indent=4),
        json.dumps({"items": LIST["items"], "kind": "NodeList", "apiVersion": "v1"}),
        json.dumps(node("a")) + "\n" + json.dumps(node("b")) + "\n",
        json.dumps([node("a"), node("b")]),
        json.dumps({"version": 1234, **LIST, "more": 5678}),
        "\ufeff" + json.dumps(LIST),
        "apiVersion: v1\nkind: List\nitems:\n- {kind: Node, metadata: {name: a}}\n- {metadata: {name: b}}\n",
        "kind: Node\nmetadata: {name: a}\n---\nkind: Node\nmetadata:\n  name: b\n---\n",
        "items: [&x {metadata: {name: a, labels: &l {x: w}}}, {metadata: {name: b, labels: *l}}]",
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_every_form_is_read(text: str, size: int) -> None:
    assert names(text, size) == ["a", "b"]


@settings(max_examples=60)
@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=8), max_size=3), max_size=4),
    st.integers(1, 50),
    st.sampled_from([None, 0, 2]),
)
def test_pieces_of_any_size_give_the_same_nodes(
    labels: list[dict[str, str]], size: int, indent: int | None
) -> None:
    objects = [node(f"n{number}", **one) for number, one in enumerate(labels)]
    text = json.dumps({"kind": "List", "items": objects, "x": [1.5, None]}, indent=indent, ensure_ascii=False)
    read = read_nodes("nodes", pieces(text, size)).nodes
    assert [dict(one.labels) for one in read] == labels


def test_other_objects_are_kept_beside_the_nodes() -> None:
    slices = {"kind": "ResourceSlice", "spec": {"nodeName": "a", "driver": "gpu.nvidia.com"}}
    everywhere = {"kind": "ResourceSlice", "spec": {"allNodes": True}}
    text = json.dumps({"kind": "List", "items": [node("a"), node("b"), slices, everywhere, {"kind": "Pod"}]})
    file = joined([("nodes", read_nodes("nodes", [text]))])
    assert [one.resource_slices for one in file.nodes] == [(slices,), None]
    assert [one["kind"] for one in file.objects] == ["ResourceSlice", "ResourceSlice", "Pod"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"kind": "List", "items": [\n  {"kind" "Node"}]}', "nodes:2:11: no JSON: Expecting ':' delimiter"),
        ('{"kind": "List",\n "items": [{"kind": "Pod"}', "nodes:2:27: ',' or ']' is wanted here"),
        ('{"kind": "List" "items": []}', "nodes:1:17: ',' or '}' is wanted here"),
        ('{"kind": "List"', "nodes:1:16: ',' or '}' is wanted here"),
        ("{1: 2}", "nodes:1:2: a key in quotes is wanted here"),
        ('{"kind": "Pod"}\n x', "nodes:2:2: a Kubernetes object or a list of them is wanted here"),
        ('[1]', "nodes:1: a Kubernetes object is wanted here"),
        ('{"items": [' + "[" * 100_000, "nodes:1:12: the value nests too deep"),
        ('{"kind": "List", "items": [\n{"metadata": {"name": "a", "labels": {"x": 1}}}]}',
         "nodes:2: node 'a': metadata.labels: the value of 'x' is not a text"),
        ("kind: List\nitems:\n- kind: Node\n  metadata: {}\n", "nodes:3: metadata.name is missing"),
        ("kind: List\nitems: [\n", "no YAML"),
        ("- &a [*a]\n- x: *b\n", "nodes:2:6: no anchor `b`"),
        ("a: " + "[" * 300, "nodes:1:203: nests deeper than 200 levels"),
        ("? [a]\n: b\n", "nodes:1:3: a key that is no text"),
        ("just words\n", "nodes:1: a Kubernetes object is wanted here"),
        ("a: \x01", "no YAML"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_nodes_says_where(text: str, message: str) -> None:
    with pytest.raises(NodesFileError) as error:
        read_nodes("nodes", pieces(text, 1 << 20))
    assert message in str(error.value)


@settings(max_examples=150)
@given(st.text(alphabet='{}[]":,items \n-&*a1', max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(NodesFileError):
        read_nodes("nodes", pieces(text, 3))


def test_places_hold_behind_what_is_dropped() -> None:
    lines = [json.dumps(node(f"n{number}", x="y" * 1000)) + "," for number in range(3000)]
    text = '{"items": [\n' + "\n".join(lines) + '\n  {"kind" 1}]}'
    with pytest.raises(NodesFileError) as error:
        read_nodes("nodes", pieces(text, 1 << 18))
    assert str(error.value).startswith("nodes:3002:11: no JSON")
    text = '{"items": [' + "".join(lines) + "{]}"
    with pytest.raises(NodesFileError) as error:
        read_nodes("nodes", pieces(text, 1 << 18))
    assert str(error.value).startswith(f"nodes:1:{len(text) - 1}: no JSON")


def test_files_are_joined_and_a_node_is_there_once() -> None:
    one, two = (NodesFile(read_nodes(name, [json.dumps(node(name))]).nodes) for name in "ab")
    assert [found.name for found in joined([("x", one), ("y", two)]).nodes] == ["a", "b"]
    with pytest.raises(NodesFileError, match="x and y: node 'a' is there twice"):
        joined([("x", one), ("y", one)])
    with pytest.raises(NodesFileError, match="no Node is in there"):
        joined([("x", NodesFile(()))])


def test_files_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps(LIST), "utf-8")
    other = FIXTURES / "gke.yaml"
    assert len(read_node_files([str(path), str(other), str(path)]).nodes) == 6
    with pytest.raises(SourceError, match="No such file"):
        read_node_files([str(tmp_path / "none")])
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(SourceError, match="no UTF-8 text"):
        read_node_files([str(path)])
    path.write_text("{", "utf-8")
    with pytest.raises(SourceError, match=r"nodes.json:1:2: a key in quotes"):
        read_node_files([str(path)])


def test_a_large_list_is_read_without_holding_it(tmp_path: Path) -> None:
    filler = {f"a{number}": "x" * 100 for number in range(200)}
    path = tmp_path / "nodes.json"
    with path.open("w", encoding="utf-8") as file:
        file.write('{"items": [')
        for number in range(1200):
            one = node(f"n{number}", x="y")
            one["metadata"]["annotations"] = filler
            file.write(("," if number else "") + json.dumps(one))
        file.write("]}")
    size = path.stat().st_size
    assert size > 25_000_000
    tracemalloc.start()
    found = read_node_files([str(path)]).nodes
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 1200
    assert peak < 12_000_000  # a few pieces of a MiB, and the nodes


def test_a_long_yaml_list_is_read_one_object_at_a_time() -> None:
    seen: list[int] = []

    def text() -> Iterator[str]:
        yield "kind: List\nitems:\n"
        for number in range(200):
            seen.append(number)
            yield f"- kind: Node\n  metadata: {{name: n{number}}}\n  x: {'y' * 20_000}\n"

    from vllmlint.hardware.yaml_objects import yaml_objects

    tracemalloc.start()
    objects = yaml_objects("nodes", "", text())
    line, first = next(objects)
    assert (line, first["metadata"]["name"]) == (3, "n0")
    assert len(seen) < 10  # the rest of the text is not read yet
    assert [obj["metadata"]["name"] for _, obj in objects] == [f"n{number}" for number in range(1, 200)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000  # of four megabytes
