"""KAITO's Workspace and InferenceSet: a preset model on vLLM, with settings from a ConfigMap.

The preset brings arguments of its own that no object shows, so what is not in the ConfigMap stays unknown.
Source: kaito pkg/model/interface.go (buildVLLMInferenceCommand).
"""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.serving.wrappers.base import RunObjects, count, is_other_engine, pod_with, wrapped
from vllmlint.serving.wrappers.nodes import StandIn, inner_document, mapping_at
from vllmlint.serving.wrappers.words import WordList, hidden_words, model_words, settings_words
from vllmlint.serving.wrappers.wrapper import ALL_INJECTIONS, Engine, Wrapper

_CONTROLLER = "KAITO"
_CONFIG_KEY = "inference_config.yaml"
_RUNTIME = "kaito.sh/runtime"
_PORT = 5000


def workloads(obj: KubeObject, run: RunObjects) -> list[Workload]:
    """The pods of a workspace: those of its preset, or those of its own template."""
    root: Mapping | None = obj.node if obj.kind == "Workspace" else obj.node.mapping("spec", "template")
    inference = root.mapping("inference") if root is not None else None
    return list(_inference(obj, root, inference, run)) if root is not None and inference is not None else []


def _inference(obj: KubeObject, root: Mapping, inference: Mapping, run: RunObjects) -> Iterator[Workload]:
    template = inference.mapping("template")
    spec = template.mapping("spec") if template is not None else None
    if template is not None and spec is not None:
        yield wrapped(obj, template, spec, Wrapper(_CONTROLLER, size=1))
        return
    preset = inference.scalar("preset", "name")
    image = inference.scalar("preset", "presetOptions", "image")
    annotations = (
        obj.node.string("metadata", "annotations", _RUNTIME),
        root.string("metadata", "annotations", _RUNTIME),
    )
    runs_vllm = all(one is None or one == "vllm" for one in annotations)
    if preset is None or not runs_vllm or is_other_engine(image.text if image is not None else None):
        return
    words = _words(obj, inference, preset, run)
    container = mapping_at(inference, {"name": preset, "image": image})
    wrapper = Wrapper(
        _CONTROLLER,
        Engine(preset.text, tuple(words.words), words.sources, "module"),
        {"port": _PORT},
        ALL_INJECTIONS,
        size=count(root, "resource", "count") or 1,
    )
    yield wrapped(obj, inference, pod_with(mapping_at(inference, {}), [container]), wrapper)


def _words(obj: KubeObject, inference: Mapping, preset: Scalar, run: RunObjects) -> WordList:
    words = WordList()
    if "/" in preset.text:
        # a preset named as on the hub; the short names are KAITO's own
        words.add(model_words(preset, flag="--model"), "wrapper", _CONTROLLER)
    words.add(hidden_words(StandIn(preset.text, preset)), "wrapper", _CONTROLLER)
    name = inference.scalar("config")
    text = run.config_text(name.text, _CONFIG_KEY, obj) if name is not None else None
    document = inner_document(text)
    if document is not None and name is not None:
        words.add(settings_words(document.mapping("vllm")), "configmap", name.text)
    elif name is not None:
        words.add(hidden_words(name), "configmap", name.text)
    return words
