"""Containers and servers from text, for the tests of this room."""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import indent

from vllmlint.kube.index import Index
from vllmlint.kube.objects import objects_of
from vllmlint.kube.pods import Container, workloads_of
from vllmlint.manifest.nodes import Scalar
from vllmlint.manifest.reader import read_manifest
from vllmlint.manifest.text import Place
from vllmlint.serving.command import CommandLine, Invocation, explicit_invocation, read_command
from vllmlint.serving.detect import ImagePolicy, find_server
from vllmlint.serving.server import Server

OFFICIAL = "vllm/vllm-openai:v0.33.0"


def pod(fields: str, *, image: str | None = OFFICIAL, field: str = "containers", more: str = "") -> str:
    """A Pod with one container of these fields; `more` are further documents."""
    head = "apiVersion: v1\nkind: Pod\nmetadata: {name: pod}\nspec:\n"
    named = "- name: main\n" + (f"  image: {json.dumps(image)}\n" if image is not None else "")
    return f"{head}  {field}:\n" + indent(named + indent(fields, "  "), "    ") + more


def words(**fields: Sequence[str]) -> str:
    """`command` and `args` as flow sequences."""
    return "".join(f"{name}: {json.dumps(list(value))}\n" for name, value in fields.items())


def containers(text: str | bytes) -> list[Container]:
    """The containers of a file."""
    file = read_manifest("m.yaml", text if isinstance(text, bytes) else text.encode())
    found = [one for obj in objects_of(file)[0] for each in workloads_of(obj) for one in each.containers]
    assert found
    return found


def servers(text: str | bytes, policy: ImagePolicy | None = None) -> list[Server]:
    """The servers of a file."""
    file = read_manifest("m.yaml", text if isinstance(text, bytes) else text.encode())
    objects = objects_of(file)[0]
    index = Index(objects, lambda _path: None)
    found = []
    for obj in objects:
        for workload in workloads_of(obj):
            for container in workload.containers:
                lookup = lambda name, seeker=obj: index.config_map_data(name, seeker)  # noqa: E731
                server = find_server(container, policy or ImagePolicy(), lookup)
                found += [server] if server is not None else []
    return found


def server(fields: str, *, image: str | None = OFFICIAL, more: str = "") -> Server:
    """The server that a container of these fields is."""
    (found,) = servers(pod(fields, image=image, more=more))
    return found


def command_line(text: str | bytes) -> CommandLine:
    """The command line of the first container of a file, with its plain variables."""
    (container, *_) = containers(text)
    from vllmlint.kube.env import read_env

    return read_command(container, read_env(container.node, lambda _name: None))


def invocation(text: str | bytes) -> Invocation | None:
    """How the words of the first container start vLLM."""
    return explicit_invocation(command_line(text))


def texts(found: Invocation | None) -> list[str | None] | None:
    """The words of an invocation."""
    return None if found is None else [word.text for word in found.words]


def image_node(text: str) -> Scalar:
    """The scalar of an image as it is written in YAML."""
    node = read_manifest("m.yaml", f"image: {text}\n".encode()).documents[0].root.at("image")
    assert isinstance(node, Scalar)
    return node


def raw(place: Place | None) -> str:
    """The bytes on disk under a place, as text."""
    assert place is not None
    source = place.source
    data = source.text.encode()
    return data[source.position(place.start).offset : source.position(place.end).offset].decode()
