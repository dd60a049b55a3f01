"""The environment of a container as the kubelet builds it, and `$(VAR)` expansion."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal

from vllmlint.kube.objects import KubeObject
from vllmlint.manifest.nodes import Mapping as MappingNode
from vllmlint.manifest.nodes import Node, Scalar
from vllmlint.record import record
from vllmlint.regex import regex

EnvSource = Literal["value", "secret", "configmap", "field", "resource", "unknown"]

#: kubelet's expansion: `$$` is a dollar sign, `$(NAME)` a reference up to the next `)`, anything else stays.
_REFERENCE = regex(r"\$(?:\$|\(([^)]*)\))")
#: Behind the last `)` no reference can end.
_DOLLARS = regex(r"\$\$")

#: Stands in a text for a variable whose value is not known; no real text can hold it.
UNKNOWN_MARK: Final = "\0"

#: Linux refuses a longer argument or variable (MAX_ARG_STRLEN).
MAX_EXPANDED = 128 * 1024

#: Finds the data of a ConfigMap by name: keys to their scalars; None when it is not in the run.
ConfigMapLookup = Callable[[str], "tuple[KubeObject, Mapping[str, Scalar]] | None"]


@record
class Expansion:
    """A text after `$(VAR)` expansion.

    A variable whose value is not known leaves `UNKNOWN_MARK` in `text`. `offsets[i]` is the
    offset, in the text before expansion, of the character that `text[i]` comes from.
    """

    text: str
    offsets: Sequence[int]
    unknown: tuple[str, ...] = ()


@record
class EnvVar:
    """One variable: `value` after expansion, None when the manifest does not tell it.

    `name_node` is the scalar that names it (for `envFrom`, the key in the ConfigMap or the
    reference), `value_node` the scalar that holds the value. `ref` is the object (and key) that a
    Secret or ConfigMap reference names.
    """

    name: str
    value: str | None
    source: EnvSource
    name_node: Scalar
    value_node: Scalar | None
    ref: tuple[str, str] | None = None


def expand(text: str, env: Mapping[str, EnvVar]) -> Expansion:
    """Expand `$(VAR)` as the kubelet does: what is not defined stays as it is written.

    Source: Kubernetes third_party/forked/golang/expansion.
    """
    if "$" not in text:
        return Expansion(text, range(len(text) + 1))
    out: list[str] = []
    offsets: list[int] = []
    unknown: list[str] = []
    last = size = 0
    for match in _references(text):
        out.append(text[last : match.start()])
        offsets += range(last, match.start())
        last = match.end()
        name = match[1] if match.lastindex else None
        variable = env.get(name) if name is not None else None
        if name is None:
            replacement = "$"
        elif variable is None:
            out.append(match.group())
            offsets += range(match.start(), match.end())
            continue
        else:
            if variable.value is None:
                unknown.append(name)
            replacement = UNKNOWN_MARK if variable.value is None else variable.value
        size += len(replacement)
        if size > MAX_EXPANDED:
            # no process can be started with it; and values that double would grow without end
            return Expansion(UNKNOWN_MARK, [0, len(text)], (*unknown, name or ""))
        out.append(replacement)
        offsets += [match.start()] * len(replacement)
    out.append(text[last:])
    offsets += range(last, len(text) + 1)
    return Expansion("".join(out), offsets, tuple(unknown))


def _references(text: str) -> Iterator[re.Match[str]]:
    """What the kubelet replaces in a text; the group is the name, which `$$` has none of."""
    end = text.rfind(")") + 1
    yield from _REFERENCE.finditer(text, 0, end)
    yield from _DOLLARS.finditer(text, end)


def read_env(container: MappingNode, config_map: ConfigMapLookup) -> dict[str, EnvVar]:
    """The variables of a container: `envFrom` first, then `env`, where a later entry wins.

    A variable's value sees those defined before it, as in the kubelet.
    """
    env: dict[str, EnvVar] = {}
    for entry in container.mappings("envFrom"):
        env.update(_from_object(entry, config_map))
    for entry in container.mappings("env"):
        name = entry.scalar("name")
        if name is not None:
            env[name.text] = _variable(name, entry, env, config_map)
    return env


def is_complete(container: MappingNode, config_map: ConfigMapLookup) -> bool:
    """Whether every variable is known by name: no `envFrom` that the run does not show."""
    names = [entry.string("configMapRef", "name") for entry in container.mappings("envFrom")]
    return all(name is not None and config_map(name) is not None for name in names)


def _from_object(entry: MappingNode, config_map: ConfigMapLookup) -> dict[str, EnvVar]:
    reference = entry.scalar("configMapRef", "name")
    found = config_map(reference.text) if reference is not None else None
    if reference is None or found is None:
        return {}
    prefix = entry.string("prefix") or ""
    return {
        prefix + key: EnvVar(prefix + key, node.text, "configmap", node, node, (reference.text, key))
        for key, node in found[1].items()
    }


def _variable(
    name: Scalar, entry: MappingNode, env: dict[str, EnvVar], config_map: ConfigMapLookup
) -> EnvVar:
    value = entry.scalar("value")
    if value is not None:
        text = expand(value.text, env).text
        return EnvVar(name.text, None if UNKNOWN_MARK in text else text, "value", name, value)
    source = entry.mapping("valueFrom")
    if source is None:
        return EnvVar(name.text, "", "value", name, None)
    if (secret := source.mapping("secretKeyRef")) is not None:
        return EnvVar(name.text, None, "secret", name, None, _reference(secret))
    if (reference := source.mapping("configMapKeyRef")) is not None:
        ref = _reference(reference)
        found = config_map(ref[0])
        node = found[1].get(ref[1]) if found is not None else None
        return EnvVar(name.text, None if node is None else node.text, "configmap", name, node, ref)
    if "fieldRef" in source.entries:
        return EnvVar(name.text, None, "field", name, None)
    if "resourceFieldRef" in source.entries:
        return EnvVar(name.text, None, "resource", name, None)
    return EnvVar(name.text, None, "unknown", name, None)


def _reference(node: Node) -> tuple[str, str]:
    return node.string("name") or "", node.string("key") or ""
