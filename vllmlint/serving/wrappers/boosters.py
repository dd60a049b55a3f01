"""Two more kinds that name the engine and its arguments: Kthena's ModelBooster and llmaz's Playground.

Their controllers add arguments of their own, so what is not written stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.serving.words import Word
from vllmlint.serving.wrappers.base import RunObjects, count, pod_with, wrapped
from vllmlint.serving.wrappers.nodes import StandIn, mapping_at, merged
from vllmlint.serving.wrappers.words import WordList, flag_words, hidden_words, model_words, text_word
from vllmlint.serving.wrappers.wrapper import ALL_INJECTIONS, Engine, Wrapper

_KTHENA = "Kthena"
_LLMAZ = "llmaz"
_INJECTS = ALL_INJECTIONS - {"gpu"}


def booster_workloads(obj: KubeObject, _run: RunObjects) -> list[Workload]:
    """The workers of a ModelBooster's backend: `config` holds vLLM's flags."""
    backend = obj.node.mapping("spec", "backend")
    engine = backend.string("type") if backend is not None else None
    if backend is None or engine not in {"vLLM", "vLLMDisaggregated"}:
        return []
    return list(_booster_workers(obj, backend))


def _booster_workers(obj: KubeObject, backend: Mapping) -> Iterator[Workload]:
    shared = mapping_at(backend, {"env": backend.sequence("env")})
    for worker in backend.mappings("workers"):
        role = worker.scalar("type")
        if role is None:
            continue
        words = WordList()
        words.add(model_words(backend.scalar("modelURI"), flag="--model"), "wrapper", _KTHENA)
        words.add(hidden_words(role), "wrapper", _KTHENA)
        words.add(_config_words(worker.mapping("config")), "wrapper", "config")
        name = "leader"
        fields = {
            "name": StandIn(name, role),
            "image": worker.scalar("image"),
            "resources": worker.mapping("resources"),
        }
        container = merged(shared, mapping_at(worker, fields)) or worker
        wrapper = Wrapper(
            _KTHENA,
            Engine(name, tuple(words.words), words.sources, "module"),
            injects=_INJECTS,
            size=count(worker, "pods") or 1,
        )
        yield wrapped(obj, worker, pod_with(mapping_at(worker, {}), [container]), wrapper, role.text)


def _config_words(config: Mapping | None) -> list[Word]:
    """The flags of `config`; an empty text is a bare flag."""
    words: list[Word] = []
    for name, value in config.entries.items() if config is not None else ():
        if config is None:
            continue
        key = config.keys[name]
        bare = isinstance(value, Scalar) and value.text == ""
        words += [text_word(f"--{name}", key)] if bare else flag_words(key, value, name)
    return words


def playground_workloads(obj: KubeObject, _run: RunObjects) -> list[Workload]:
    """The pods of a Playground whose backend runtime is vLLM, llmaz's default."""
    config = obj.node.mapping("spec", "backendRuntimeConfig")
    backend = config.scalar("backendName") if config is not None else None
    if config is None or backend is None or backend.text != "vllm":
        return []
    words = WordList()
    words.add(hidden_words(backend), "wrapper", _LLMAZ)
    container = mapping_at(
        config,
        {
            "name": StandIn("model-runner", backend),
            "args": config.sequence("args"),
            "env": config.sequence("envs") or config.sequence("env"),
            "resources": config.mapping("resources"),
        },
    )
    wrapper = Wrapper(
        _LLMAZ, Engine("model-runner", tuple(words.words), words.sources, "serve"), injects=_INJECTS
    )
    return [wrapped(obj, config, pod_with(mapping_at(config, {}), [container]), wrapper)]
