"""KubeAI's Model with the vLLM engine: args follow the model and its name, so they win.

Source: kubeai internal/modelcontroller/engine_vllm.go.
"""

from __future__ import annotations

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping
from vllmlint.serving.wrappers.base import RunObjects, is_other_engine, pod_with, wrapped
from vllmlint.serving.wrappers.nodes import StandIn, env_list, mapping_at
from vllmlint.serving.wrappers.words import WordList, model_words
from vllmlint.serving.wrappers.wrapper import ALL_INJECTIONS, Engine, Wrapper

_CONTROLLER = "KubeAI"
_CONTAINER = "server"
_PORT = 8000


def workloads(obj: KubeObject, _run: RunObjects) -> list[Workload]:
    """The pod of a Model; none for another engine."""
    spec = obj.node.mapping("spec")
    engine = spec.scalar("engine") if spec is not None else None
    url = spec.scalar("url") if spec is not None else None
    if spec is None or engine is None or url is None or engine.text != "VLLM":
        return []
    if is_other_engine(spec.string("image")):
        return []
    container = mapping_at(
        spec,
        {
            "name": StandIn(_CONTAINER, engine),
            "image": spec.scalar("image"),
            "args": spec.sequence("args"),
            "env": env_list(spec.mapping("env")),
            "envFrom": spec.sequence("envFrom"),
        },
    )
    words = WordList()
    words.add(model_words(url, flag="--model"), "wrapper", _CONTROLLER)
    wrapper = Wrapper(
        _CONTROLLER,
        Engine(_CONTAINER, tuple(words.words), words.sources, "module"),
        {"port": _PORT, "served_model_name": [obj.name]},
        ALL_INJECTIONS,
    )
    return [wrapped(obj, obj.node, _pod(spec, container), wrapper)]


def _pod(spec: Mapping, container: Mapping) -> Mapping:
    pod = mapping_at(spec, {"priorityClassName": spec.scalar("priorityClassName")})
    return pod_with(pod, [container])
