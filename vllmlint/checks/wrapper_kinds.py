"""Section args: what the controllers of wrapper kinds make of a container and of its arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vllmlint.finding import Finding
from vllmlint.kube.objects import KubeObject
from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence
from vllmlint.regex import regex
from vllmlint.world import World

#: The container that a controller merges its own settings into; source: the kinds' presets
#: (kserve config/llmisvcconfig and config/runtimes, Dynamo's deployment templates).
_EXPECTED_NAMES = {
    "LLMInferenceService": "main",
    "LLMInferenceServiceConfig": "main",
    "ServingRuntime": "kserve-container",
    "ClusterServingRuntime": "kserve-container",
    "DynamoGraphDeployment": "main",
}
_LLM_KINDS = frozenset({"LLMInferenceService", "LLMInferenceServiceConfig"})
#: Parts of these kinds whose containers have other names: workers of a runtime, the router's scheduler.
_OTHER_PARTS = frozenset({"containers", "initContainers", "workerSpec", "router", "extraPodSpec"})
#: What marks a container as the one that serves.
_SERVES = regex(r"vllm|--model|--tensor-parallel|--max-model-len|--gpu-memory|--served-model|--kv-")
#: A quote that `eval` takes away: neither escaped nor inside single quotes.
_BARE_QUOTE = regex(r'(?<!\\)"')


def wrapper_container_name(obj: KubeObject, world: World) -> Iterator[Finding]:
    """vLLM's settings in a container that the controller takes for a sidecar."""
    expected = _EXPECTED_NAMES.get(obj.kind)
    if expected is None:
        return
    for containers in _container_lists(obj):
        if any(container.string("name") == expected for container in containers):
            continue
        for container in containers:
            name = container.scalar("name")
            if name is not None and _looks_like_server(container):
                yield Finding(
                    name.content,
                    f"the controller of {obj.kind} looks for a container named `{expected}`: it starts its "
                    f"own server beside `{name.text}`, without the image, arguments and GPUs written here",
                    f"Name it `{expected}`.",
                    f"not `{expected}`",
                    confidence="medium",
                    assumptions=(f"`{name.text}` is meant to be the server",),
                )


def llmisvc_eval_loses_quotes(obj: KubeObject, world: World) -> Iterator[Finding]:
    """An argument whose quotes the preset's `eval` takes away."""
    if obj.kind not in _LLM_KINDS:
        return
    for containers in _container_lists(obj):
        for container in containers:
            if container.string("name") == "main" and container.at("command") is None:
                yield from _lost_quotes(obj, container)


def _lost_quotes(obj: KubeObject, container: Mapping) -> Iterator[Finding]:
    arguments = container.sequence("args")
    words = [item for item in arguments.items if isinstance(item, Scalar)] if arguments is not None else []
    for entry in container.mappings("env"):
        value = entry.scalar("value")
        if entry.string("name") == "VLLM_ADDITIONAL_ARGS" and value is not None:
            words.append(value)
    for word in words:
        match = _BARE_QUOTE.search(re.sub(r"'[^']*'", lambda quoted: " " * len(quoted.group()), word.text))
        if match is not None:
            start = max(word.text.rfind("=", 0, match.start()), word.text.rfind(" ", 0, match.start())) + 1
            yield Finding(
                word.part(start, len(word.text.rstrip())),
                f"the preset of {obj.kind} hands its arguments to `eval`, which takes these quotes away: "
                "vLLM gets JSON without quotes and exits before it loads anything",
                "Write dotted keys (`--kv-transfer-config.kv_role=kv_both`), or put the value into single "
                "quotes inside the YAML string.",
                "loses its quotes",
                confidence="medium",
                assumptions=("the preset of KServe starts the server",),
            )


def _container_lists(obj: KubeObject) -> Iterator[list[Mapping]]:
    """Every `containers` list of an object, wherever its kind puts it."""
    stack: list[Node] = [obj.node]
    seen: set[int] = set()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Sequence):
            stack += node.items
        elif isinstance(node, Mapping):
            containers = list(node.mappings("containers"))
            if containers:
                yield containers
            stack += [child for key, child in node.entries.items() if key not in _OTHER_PARTS]


def _looks_like_server(container: Mapping) -> bool:
    texts = [container.string("image") or ""]
    for key in ("command", "args"):
        words = container.sequence(key)
        texts += [item.text for item in words.items if isinstance(item, Scalar)] if words is not None else []
    return any(_SERVES.search(text) for text in texts)
