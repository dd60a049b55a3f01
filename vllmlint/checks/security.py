"""Section security: credentials in the manifest, and containers that are not contained."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from vllmlint.finding import Edit, Finding, Fix, Related
from vllmlint.kube.env import EnvVar
from vllmlint.kube.objects import KubeObject
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.manifest.text import Place
from vllmlint.regex import regex
from vllmlint.serving.arg_results import Setting
from vllmlint.serving.server import Server
from vllmlint.world import World

#: A user or organisation token of the Hugging Face hub; real ones have 34 letters and digits after the `_`.
_HUB_TOKEN = regex(r"(?<![A-Za-z0-9_])(?:hf|api_org)_[A-Za-z0-9]{20,64}(?![A-Za-z0-9_])")
#: What stands in the place of a token in documentation; a real one has hardly any word in it.
_NO_TOKEN = regex(
    r"(.)\1{3}|your|token|example|redacted|replace|placeholder|change|secret|dummy|insert|12345",
    re.IGNORECASE,
)
#: A random token of 34 characters out of 62 has about 26 different ones, and fewer than 10 never.
_MIN_DIFFERENT = 10
#: Something that a tool or a person has still to fill in.
_UNFILLED = regex(r"\$[({A-Za-z_]|\{\{|^<.*>$|\0")
_REFERENCE = regex(r"\$[({]?(\w+)[)}]?")
_KEY_VARIABLE = "VLLM_API_KEY"
_KEY_ADVICE = (
    "Make a new key, keep it in a Secret, and give it to vLLM as VLLM_API_KEY "
    "(`valueFrom: {secretKeyRef: {name: vllm, key: api-key}}`)"
)


def hf_token_literal(obj: KubeObject, world: World) -> Iterator[Finding]:
    """A token of the Hugging Face hub written out in an object."""
    text = obj.node.source.text
    for match in _HUB_TOKEN.finditer(text, obj.node.start, obj.node.end):
        if _is_token(match.group()):
            yield _token_found(obj, Place(obj.node.source, match.start(), match.end()))
    if obj.kind == "Secret" and not obj.group:
        for value in _scalars(obj.node.mapping("data")):
            decoded = _decode(value.text)
            hidden = _HUB_TOKEN.search(decoded)
            if hidden is not None and _is_token(hidden.group()):
                yield _token_found(obj, value.content)


def api_key_in_args(server: Server, world: World) -> Iterator[Finding]:
    """The key that guards the server, written out in the arguments or the environment."""
    variables = {_KEY_VARIABLE} & server.env.keys()
    for setting in server.arguments.occurrences:
        if setting.name != "api_key":
            continue
        for key, place in _keys(setting, server):
            names = {match[1] for match in _REFERENCE.finditer(place.text)} & server.env.keys()
            variables |= names
            if not names and _is_key(key):
                yield Finding(
                    place,
                    "the API key stands in the arguments: everybody who can read the repository, the "
                    f"{server.object.kind} or the node's process list has it and can use the model",
                    _KEY_ADVICE + " in place of the flag.",
                    "key in clear text",
                )
    for name in sorted(variables):
        yield from _key_in_variable(server.env[name], server)


def privileged(server: Server, world: World) -> Iterator[Finding]:
    """A server with all rights on its node."""
    value = server.container.node.scalar("securityContext", "privileged")
    if value is None or value.value is not True:
        return
    yield Finding(
        value.content,
        "a privileged container sees every device of its node, so vLLM can take accelerators that belong to "
        "other pods, and whoever breaks into the server is root on the node",
        "Remove the line. RDMA needs `capabilities: {add: [IPC_LOCK]}` and the network device as a resource, "
        "shared memory an emptyDir with `medium: Memory` at /dev/shm: neither needs a privileged container.",
        "all rights on the node",
        related=tuple(Related(gpu.node.content, "the devices that are its own") for gpu in server.gpus),
        fix=Fix("take the rights away", (Edit(value.content, "false"),), safe=False),
    )


def _is_token(text: str) -> bool:
    """Whether a text is a token and not what stands for one in documentation."""
    body = text.rpartition("_")[2]
    return _NO_TOKEN.search(body) is None and len(set(body)) >= _MIN_DIFFERENT


def _token_found(obj: KubeObject, place: Place) -> Finding:
    fact = "a Hugging Face token stands in the manifest"
    if obj.kind == "Secret":
        fact = "a Hugging Face token stands in a Secret that is kept as a file (base64 hides nothing)"
        advice = "keep the Secret out of the repository (External Secrets, Sealed Secrets)"
    else:
        advice = "refer to a Secret (`valueFrom: {secretKeyRef: {name: hugging-face, key: token}}`)"
    return Finding(
        place,
        f"{fact}: everybody who can read the repository or the object can use it until it is revoked",
        f"Revoke the token on the hub, make a new one, and {advice}.",
        "token in clear text" if obj.kind != "Secret" else "token",
    )


def _scalars(node: Mapping | None) -> list[Scalar]:
    return [] if node is None else [value for value in node.entries.values() if isinstance(value, Scalar)]


def _decode(text: str) -> str:
    """The text of a base64 value; empty when it is none."""
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode("ascii", "replace")
    except (binascii.Error, ValueError):
        return ""


def _keys(setting: Setting, server: Server) -> Iterator[tuple[str, Place]]:
    """The known values of one `--api-key`, which takes several keys from 0.10.1 on, with their places."""
    values = setting.value if isinstance(setting.value, list) else [setting.value]
    if not setting.known or len(values) != len(setting.value_words):
        return
    for number, (value, word) in enumerate(zip(values, setting.value_words, strict=True)):
        span = setting.value_span if number == 0 else None
        yield str(value), server.word_place(word, *span) if span is not None else server.word_place(word)


def _is_key(text: str) -> bool:
    return bool(text.strip()) and _UNFILLED.search(text) is None


def _key_in_variable(variable: EnvVar, server: Server) -> Iterator[Finding]:
    """A literal key in the container's `env`, or in a ConfigMap that it refers to."""
    if variable.value is None or not _is_key(variable.value) or variable.value_node is None:
        return
    # a variable that is made of others (`value: $(KEY)`) is judged where it comes from
    if variable.source == "value" and _REFERENCE.search(variable.value_node.text):
        return
    place, holder = variable.value_node.content, f"the value of {variable.name}"
    related: tuple[Related, ...] = ()
    node = server.container.node
    if variable.source == "configmap":
        holder = f"a ConfigMap, which {variable.name} takes it from"
        related = (Related(place, "the key"),)
        inside = (
            variable.name_node.source is node.source and node.start <= variable.name_node.start < node.end
        )
        place = variable.name_node.content if inside else server.anchor
    yield Finding(
        place,
        f"the API key stands in {holder}: everybody who can read the repository or the "
        f"{server.object.kind} has it and can use the model",
        _KEY_ADVICE + ".",
        "key in clear text" if not related else "takes the key from a ConfigMap",
        related=related,
    )
