"""What the rules about variables share: where they are set, who reads them, how a release reads a value."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vllmlint.finding import Related
from vllmlint.kube.env import EnvVar
from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence
from vllmlint.manifest.text import Place
from vllmlint.regex import regex
from vllmlint.serving.flag_tables import EnvSpec
from vllmlint.serving.server import Server

#: The spellings whose reading was probed for every variable (schemas/vllm/env.json).
_TRUE_WORDS = frozenset({"1", "true", "True"})
_FALSE_WORDS = frozenset({"0", "false", "False"})
#: A value that a template engine or a person has still to fill in.
_UNFILLED = regex(r"\$[({A-Za-z_]|\{\{|<[A-Za-z_][A-Za-z_ -]*>")


def name_place(variable: EnvVar, server: Server) -> tuple[Place, tuple[Related, ...]]:
    """The variable's name in the pod; for `envFrom`, the reference, with the key as the other half."""
    node = variable.name_node
    if variable.source == "configmap" and variable.value_node is node and variable.ref is not None:
        for entry in server.container.node.mappings("envFrom"):
            name = entry.scalar("configMapRef", "name")
            if name is not None and name.text == variable.ref[0]:
                return name.content, (Related(node.content, f"gives {variable.name}"),)
    return node.content, ()


def value_place(variable: EnvVar, server: Server) -> tuple[Place, tuple[Related, ...]]:
    """The variable's value in the pod; its name where a ConfigMap gives the value, which is then related."""
    value = variable.value_node
    if variable.source == "value" and value is not None:
        return value.content, ()
    place, related = name_place(variable, server)
    if value is not None and not related:
        related = (Related(value.content, "the value"),)
    return place, related


def known_value(variable: EnvVar) -> str | None:
    """The value, when it is known, not empty and not waiting to be filled in."""
    value = variable.value
    return value if value and _UNFILLED.search(value) is None else None


def is_mentioned(name: str, server: Server) -> bool:
    """Whether the container's command line, scripts, probes or variables speak of a variable."""
    pattern = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])")
    return any(pattern.search(text) is not None for text in _texts_of(server))


def _texts_of(server: Server) -> Iterator[str]:
    script = server.invocation.script
    if script is not None and script.word.text is not None:
        yield script.word.text
    for key, node in server.container.node.entries.items():
        if key != "env":
            yield from _scalars(node)
    for entry in server.container.node.mappings("env"):
        yield entry.string("value") or ""


def _scalars(node: Node) -> Iterator[str]:
    if isinstance(node, Scalar):
        yield node.text
    elif isinstance(node, Mapping):
        for child in node.entries.values():
            yield from _scalars(child)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _scalars(item)


def refusal(spec: EnvSpec, value: str) -> str | None:
    """What a release wants instead of a value that makes it raise; None when it takes the value."""
    if spec.getter:
        return None
    text = value.strip()
    if spec.type == "bool":
        return "`1` or `0`" if _raises(spec, value) else None
    if spec.type in {"int", "float"}:
        try:
            int(text) if spec.type == "int" else float(text)
        except ValueError:
            return "a whole number" if spec.type == "int" else "a number"
    if spec.type == "choice" and spec.choices:
        choices = [str(each) for each in spec.choices]
        known = choices if spec.case_sensitive else [each.lower() for each in choices]
        if (value if spec.case_sensitive else value.lower()) not in known:
            return "one of " + ", ".join(f"`{each}`" for each in choices)
    return None


def _raises(spec: EnvSpec, value: str) -> bool:
    """Whether a boolean is read by `int()`, as its probed spellings show, and the value is no number."""
    if value in spec.error:
        return True
    if "true" not in spec.error or "false" not in spec.error:
        return False
    try:
        int(value)
    except ValueError:
        return True
    return False


def opposite(spec: EnvSpec, value: str) -> bool | None:
    """How a boolean is read, when that is the opposite of what the value says; None when it is not."""
    if spec.type != "bool" or spec.getter or spec.error:
        return None
    meant = True if value in _TRUE_WORDS else False if value in _FALSE_WORDS else None
    if meant is True and value not in spec.true and spec.true:
        return False
    if meant is False and value in spec.true:
        return True
    return None
