"""From a place back to its route in the object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence, Step
from vllmlint.manifest.reader import read_manifest
from vllmlint.manifest.routes import format_route, route_of
from vllmlint.manifest.text import Place


def root(text: str | bytes) -> Node:
    """The only document of a text."""
    (document,) = read_manifest("x.yaml", text if isinstance(text, bytes) else text.encode()).documents
    return document.root


def route_at(node: Node, text: str, nth: int = 1) -> str:
    """The route of the `nth` place where a text stands."""
    at = -1
    for _ in range(nth):
        at = node.source.text.index(text, at + 1)
    return format_route(route_of(node, Place(node.source, at, at + len(text))))


def scalars(node: Node, route: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Scalar]]:
    """Every scalar below a node with its route."""
    if isinstance(node, Scalar):
        yield route, node
    elif isinstance(node, Mapping):
        for name, child in node.entries.items():
            yield from scalars(child, (*route, name))
    elif isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            yield from scalars(item, (*route, index))


DEPLOYMENT = """\
spec:  # the spec
  replicas: 1
  template:
    spec:
      nodeSelector:
        example.com/gpu: &gpu a100
      containers:
        - name: vllm
          args:
            - --model
            - |
              one
              two
            - [x, {y: z}]
          env: &env
            - name: A
              value: '1'
        - name: other
          image: i
          env: *env
  strategy: {type: Recreate}
"""


@pytest.mark.parametrize(
    ("text", "nth", "route"),
    [
        ("replicas", 1, "spec.replicas"),
        ("1", 1, "spec.replicas"),
        ("# the spec", 1, "spec"),
        ("example.com/gpu", 1, 'spec.template.spec.nodeSelector["example.com/gpu"]'),
        ("a100", 1, 'spec.template.spec.nodeSelector["example.com/gpu"]'),
        ("--model", 1, "spec.template.spec.containers[0].args[0]"),
        ("two", 1, "spec.template.spec.containers[0].args[1]"),
        ("z", 1, "spec.template.spec.containers[0].args[2][1].y"),
        ("'1'", 1, "spec.template.spec.containers[0].env[0].value"),
        ("other", 1, "spec.template.spec.containers[1].name"),
        ("image", 1, "spec.template.spec.containers[1].image"),
        ("env: *", 1, "spec.template.spec.containers[1].env"),
        ("Recreate", 1, "spec.strategy.type"),
    ],
)
def test_routes(text: str, nth: int, route: str) -> None:
    assert route_at(root(DEPLOYMENT), text, nth) == route


def test_an_object_that_ends_with_an_alias_holds_all_of_itself() -> None:
    node = root("a: &a {x: 1}\nb:\n  c:\n    - d: e\n      f: *a\n")
    assert route_at(node, "e\n") == "b.c[0].d"
    assert route_at(node, "x") == "a.x"


def test_an_alias_among_items_does_not_hide_the_others() -> None:
    node = root("x: &x [one]\nlist:\n  - bar\n  - *x\n  - *x\n  - {k: baz}\n  - *x\n  - end\n")
    asked = {text: route_at(node, text) for text in ("bar", "baz", "end", "one")}
    assert asked == {"bar": "list[0]", "baz": "list[3].k", "end": "list[5]", "one": "x[0]"}


def test_what_an_alias_brings_in_from_another_object_is_found_by_its_first_use() -> None:
    list_ = root("items:\n  - x: &x {deep: [1, two]}\n  - y: 1\n    z: *x\n")
    second = list_.at("items", 1)
    assert second is not None
    assert route_at(second, "two") == "z.deep[1]"
    assert route_at(second, "deep") == "z.deep"


def test_a_merged_key_belongs_to_the_object_that_takes_it() -> None:
    list_ = root("items:\n  - &base {x: 1, y: 2}\n  - <<: *base\n    x: 3\n")
    second = list_.at("items", 1)
    assert second is not None
    assert route_at(second, "2") == "y"
    assert route_at(second, "3") == "x"


def test_a_place_outside_has_no_route() -> None:
    node = root("a: 1\nb: {c: 2}\n").at("b")
    assert node is not None
    assert route_at(node, "a") == ""


@pytest.mark.parametrize(
    ("route", "text"),
    [
        ((), ""),
        (("a",), "a"),
        ((0, "a"), "[0].a"),
        (("a", 0, 1, "b-c"), "a[0][1].b-c"),
        (("a", "b.c/d", "e"), 'a["b.c/d"].e'),
        (("1a",), '["1a"]'),
    ],
)
def test_format(route: tuple[Step, ...], text: str) -> None:
    assert format_route(route) == text


#: Text that YAML can hold; line breaks in all their kinds are wanted.
_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t '\"\\#:-{}[]&*!|>%@`"), max_size=20
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(_TEXT, _JSON, min_size=1, max_size=4)
_STYLES: list[dict[str, Any]] = [
    {"default_flow_style": False},
    {"default_flow_style": True, "width": 30},
    {"default_flow_style": None, "allow_unicode": True},
    {"default_style": '"', "width": 20},
    {"default_style": "'", "width": 20, "allow_unicode": True},
    {"default_style": "|", "allow_unicode": True},
    {"default_style": ">", "width": 20, "allow_unicode": True},
]


def dumped(data: object, style: dict[str, Any] | None, line_break: str) -> bytes:
    """An object as YAML in some style, or as JSON."""
    if style is None:
        return json.dumps(data, ensure_ascii=False, indent=1).replace("\n", line_break).encode()
    return yaml.safe_dump(data, line_break=line_break, sort_keys=False, **style).encode()


@settings(max_examples=150, deadline=None)
@given(_OBJECTS, st.sampled_from([*_STYLES, None]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_every_scalar_is_found_again(
    data: dict[str, Any], style: dict[str, Any] | None, end: str, bom: bool
) -> None:
    raw = b"\xef\xbb\xbf" * bom + dumped(data, style, end)
    try:
        expected = yaml.compose(raw.decode("utf-8-sig"), Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return  # a character that libyaml refuses
    if expected is None or "{{" in raw.decode() or "{%" in raw.decode():
        return
    tree = root(raw)
    text = tree.source.text
    for route, node in scalars(tree):
        position = tree.source.position(node.start)
        assert raw[position.offset :].decode().startswith(text[node.start : node.start + 1])
        if not (node.style in {"|", ">"} and re.match(r"[|>][-+]?[0-9]", node.place.text)):
            again = yaml.compose(f"- {node.place.text}", Loader=yaml.CSafeLoader)
            assert again.value[0].value == node.text
        assert tree.at(*route) is node
        if node.end > node.start:
            assert route_of(tree, node.place) == route
        if node.text:
            assert node.part(0, len(node.text)).start >= node.start
            assert node.part(0, len(node.text)).end <= node.end
