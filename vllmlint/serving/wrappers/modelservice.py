"""Values of the llm-d modelservice chart: the containers of `decode` and `prefill`.

Source: llm-d-modelservice charts/llm-d-modelservice/templates/_helpers.tpl.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.regex import regex
from vllmlint.serving.words import Word
from vllmlint.serving.wrappers.base import count, pod_with, wrapped
from vllmlint.serving.wrappers.nodes import StandIn, sidecar, with_entries, without
from vllmlint.serving.wrappers.words import WordList, flag_words, model_words, text_word
from vllmlint.serving.wrappers.wrapper import Engine, EntryPoint, Injection, Usual, Wrapper

CONTROLLER = "llm-d modelservice chart"
_ROLES = ("decode", "prefill")
_SERVICE_PORT = 8000
_TARGET_PORT = 8200
_MOUNT_PATH = "/model-cache"
_INJECTS: frozenset[Injection] = frozenset({"gpu", "volumes"})
_VALUES = regex(r"\A\.Values\.([A-Za-z0-9_.]+)\Z")
_PARALLEL_FLAGS = {
    "tensor": "tensor-parallel-size",
    "data": "data-parallel-size",
    "dataLocal": "data-parallel-size-local",
}


def recognises(values: Mapping) -> bool:
    """Whether the values deploy a model with this chart."""
    uri = values.scalar("modelArtifacts", "uri")
    return uri is not None and any(values.sequence(role, "containers") is not None for role in _ROLES)


def workloads(carrier: Callable[[str], KubeObject], values: Mapping) -> Iterator[Workload]:
    """The pods of each role that is created."""
    obj = carrier(values.string("modelArtifacts", "name") or "")
    for role in _ROLES:
        part = values.mapping(role)
        if part is None or part.flag("create") is False:
            continue
        for container in part.mappings("containers"):
            engine = _engine(values, part, container, role)
            body = container if engine is None else without(container, "command")
            if container.scalar("name") is None:
                body = with_entries(body, {"name": StandIn("vllm", container.scalar("image") or container)})
            wrapper = Wrapper(
                CONTROLLER,
                engine,
                {"port": _port(values, role)} if engine is not None else {},
                _INJECTS,
                size=count(part, "parallelism", "workers") or 1,
                resolve=_resolver(values),
            )
            sidecars = (
                [sidecar("routing-proxy", _service_port(values), part)] if _has_proxy(values, role) else []
            )
            yield wrapped(obj, part, pod_with(part, [body], sidecars), wrapper, role)


def _engine(values: Mapping, part: Mapping, container: Mapping, role: str) -> Engine | None:
    """The engine of a container whose command the chart writes."""
    command = container.string("modelCommand")
    if command not in {"vllmServe", "imageDefault"} or "inference-sim" in (container.string("image") or ""):
        return None
    words = WordList()
    words.add(_model(values, named=command == "imageDefault"), "wrapper", CONTROLLER)
    parallelism = part.mapping("parallelism")
    for field, flag in _PARALLEL_FLAGS.items():
        degree = parallelism.integer(field) if parallelism is not None else None
        if parallelism is not None and degree is not None and degree > 1:
            words.add(
                flag_words(parallelism.keys[field], parallelism.entries[field], flag), "wrapper", CONTROLLER
            )
    name = values.scalar("modelArtifacts", "name")
    if name is not None:
        words.add([text_word("--served-model-name", name), text_word(name.text, name)], "wrapper", CONTROLLER)
    name_in_pod = container.string("name") or "vllm"
    entrypoint: EntryPoint | None = "serve" if command == "vllmServe" else None
    return Engine(name_in_pod, tuple(words.words), words.sources, entrypoint)


def _model(values: Mapping, *, named: bool) -> list[Word]:
    """The model as the chart passes it: a hub id, or a path on the claim."""
    uri = values.scalar("modelArtifacts", "uri")
    if uri is None:
        return []
    flag = "--model" if named else None
    protocol, _, rest = _filled(uri.text, values).partition("://")
    front = [text_word(flag, uri)] if flag is not None else []
    if protocol == "hf" and rest in uri.text:
        return model_words(uri, flag=flag)
    if protocol == "pvc":
        path = values.string("modelArtifacts", "mountPath") or _MOUNT_PATH
        return [*front, text_word(f"{path}/{rest.partition('/')[2]}", uri)]
    return [*front, text_word("/".join(rest.split("/")[-2:]), uri)]


def _has_proxy(values: Mapping, role: str) -> bool:
    return role == "decode" and values.flag("routing", "proxy", "enabled") is not False


def _service_port(values: Mapping) -> int:
    return count(values, "routing", "servicePort") or _SERVICE_PORT


def _port(values: Mapping, role: str) -> int | Usual:
    """vLLM's port, which in decode pods the routing proxy stands in front of."""
    service = _service_port(values)
    if not _has_proxy(values, role):
        return service
    target = count(values, "routing", "proxy", "targetPort") or _TARGET_PORT
    return Usual(target, f"the routing proxy answers on {service}")


def _filled(text: str, values: Mapping) -> str:
    resolve = _resolver(values)
    return re.sub(r"\{\{-?\s*(.*?)\s*-?\}\}", lambda match: resolve(match.group(1)) or match.group(), text)


def _resolver(values: Mapping) -> Callable[[str], str | None]:
    """`.Values.a.b` in a value that the chart fills in."""

    def resolve(expression: str) -> str | None:
        match = _VALUES.match(expression)
        node = values.scalar(*match.group(1).split(".")) if match is not None else None
        return node.text if isinstance(node, Scalar) and "{{" not in node.text else None

    return resolve
