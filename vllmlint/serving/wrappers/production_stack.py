"""Values of vLLM's production-stack chart: each entry of `servingEngineSpec.modelSpec` is a Deployment.

Source: production-stack helm/templates/deployment-vllm-multi.yaml and its helpers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Node, Scalar
from vllmlint.serving.wrappers.base import RunObjects, count, pod_with, wrapped
from vllmlint.serving.wrappers.nodes import Joined, StandIn, added_env, env_entry, mapping_at, merged
from vllmlint.serving.wrappers.words import WordList, flag_words, model_words, text_word, value_word
from vllmlint.serving.wrappers.wrapper import UNDECIDED, Engine, Injection, Wrapper

CONTROLLER = "production-stack chart"
_OPERATOR = "production-stack operator"
_CONTAINER = "vllm"
_PORT = 8000
_INJECTS: frozenset[Injection] = frozenset({"probes", "shm", "volumes", "gpu"})
#: Fields of `vllmConfig` that the chart turns into flags, in its order.
_FLAGS = {
    "enableChunkedPrefill": "enable-chunked-prefill",
    "enablePrefixCaching": "enable-prefix-caching",
    "maxModelLen": "max-model-len",
    "dtype": "dtype",
    "tensorParallelSize": "tensor-parallel-size",
    "maxNumSeqs": "max-num-seqs",
    "gpuMemoryUtilization": "gpu-memory-utilization",
    "maxLoras": "max-loras",
    "runner": "runner",
    "convert": "convert",
}
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
_SWITCHES = {"enableLoRA": "enable-lora", "enableTool": "enable-auto-tool-choice"}


def recognises(values: Mapping) -> bool:
    """Whether the values deploy a model with this chart."""
    return any(_serves(spec) for spec in values.mappings("servingEngineSpec", "modelSpec"))


def workloads(carrier: Callable[[str], KubeObject], values: Mapping) -> Iterator[Workload]:
    """The pods of each model."""
    engine_spec = values.mapping("servingEngineSpec")
    for spec in values.mappings("servingEngineSpec", "modelSpec"):
        if engine_spec is not None and _serves(spec):
            obj = carrier(spec.string("name") or "")
            wrapper = _wrapper(spec, engine_spec)
            yield wrapped(obj, spec, _pod(spec, engine_spec), wrapper)


def runtime_workloads(obj: KubeObject, _run: RunObjects) -> list[Workload]:
    """The pods of a VLLMRuntime of the stack's operator, whose fields are nearly those of the chart."""
    spec = obj.node.mapping("spec")
    model = spec.mapping("model") if spec is not None else None
    url = model.scalar("modelURL") if model is not None else None
    if spec is None or model is None or url is None:
        return []
    config = merged(model, spec.mapping("vllmConfig"))
    words = WordList()
    words.add(model_words(url), "wrapper", _OPERATOR)
    _add_settings(words, config, model, _OPERATOR)
    port = count(spec, "vllmConfig", "port")
    wrapper = Wrapper(
        _OPERATOR,
        Engine(_CONTAINER, tuple(words.words), words.sources, "serve"),
        {"port": port or _PORT},
        _INJECTS | {"lifecycle"},
    )
    deployment = spec.mapping("deploymentConfig")
    image = deployment.mapping("image") if deployment is not None else None
    container = mapping_at(
        spec,
        {
            "name": StandIn(_CONTAINER, url),
            "image": _joined_image(image.scalar("registry"), image.scalar("name"))
            if image is not None
            else None,
            "env": spec.sequence("vllmConfig", "env"),
        },
    )
    return [wrapped(obj, spec, pod_with(mapping_at(spec, {}), [container]), wrapper)]


def _serves(spec: Mapping) -> bool:
    named = spec.scalar("modelURL") is not None and spec.scalar("repository") is not None
    return named and spec.flag("enabled") is not False


def _wrapper(spec: Mapping, engine_spec: Mapping) -> Wrapper:
    words = WordList()
    words.add(model_words(spec.scalar("modelURL")), "wrapper", CONTROLLER)
    config = spec.mapping("vllmConfig")
    revision = spec.scalar("modelRevision")
    if revision is not None and revision.text:
        words.add(flag_words(spec.keys["modelRevision"], revision, "revision"), "wrapper", CONTROLLER)
    _add_settings(words, config, spec, CONTROLLER)
    template = spec.scalar("chatTemplate")
    if template is not None:
        path = text_word(f"/templates/{template.text}", template)
        words.add([text_word("--chat-template", spec.keys["chatTemplate"]), path], "wrapper", CONTROLLER)
    settings: dict[str, object] = {"port": count(engine_spec, "containerPort") or _PORT, "host": "0.0.0.0"}
    if config is not None and "enablePrefixCaching" not in config.entries:
        # the chart switches it off unless the values switch it on
        settings["enable_prefix_caching"] = False
    if spec.flag("lmcacheConfig", "enabled"):
        settings["kv_transfer_config"] = UNDECIDED
    engine = Engine(_CONTAINER, tuple(words.words), words.sources, "serve")
    return Wrapper(CONTROLLER, engine, settings, _INJECTS)


def _add_settings(words: WordList, config: Mapping | None, switches: Mapping, controller: str) -> None:
    for field, flag in _SWITCHES.items():
        if switches.flag(field):
            words.add(flag_words(switches.keys[field], switches.entries[field], flag), "wrapper", controller)
    parser = switches.scalar("toolCallParser")
    if parser is not None:
        words.add(flag_words(switches.keys["toolCallParser"], parser), "wrapper", controller)
    if config is None:
        return
    for field, flag in _FLAGS.items():
        if field in config.entries:
            words.add(flag_words(config.keys[field], config.entries[field], flag), "wrapper", controller)
    extra = config.sequence("extraArgs")
    items = extra.items if extra is not None else []
    words.add([value_word(item) for item in items if isinstance(item, Scalar)], "args", "extraArgs")


def _pod(spec: Mapping, engine_spec: Mapping) -> Mapping:
    name = spec.scalar("name") or spec.keys["modelURL"]
    container = mapping_at(
        spec,
        {
            "name": StandIn(_CONTAINER, name),
            "image": _joined_image(spec.scalar("repository"), spec.scalar("tag")),
            "env": spec.sequence("env"),
            "resources": _own_resources(spec) or _resources(spec),
            **{probe: engine_spec.mapping(probe) for probe in _PROBES},
            "volumeMounts": spec.sequence("extraVolumeMounts"),
        },
    )
    key = engine_spec.scalar("vllmApiKey") or engine_spec.scalar("vllmApiKey", "secretName")
    if key is not None:
        container = added_env(container, [_secret_env("VLLM_API_KEY", key)])
    storage = spec.keys.get("pvcStorage")
    home = StandIn("/data" if storage is not None else "/tmp", storage or name)
    container = added_env(container, [env_entry("HF_HOME", home)])
    fields: dict[str, Node | None] = {
        "nodeName": spec.scalar("nodeName"),
        "affinity": spec.mapping("affinity") or _affinity(spec),
        "tolerations": spec.sequence("tolerations") or engine_spec.sequence("tolerations"),
        "runtimeClassName": spec.scalar("runtimeClassName") or engine_spec.scalar("runtimeClassName"),
        "volumes": spec.sequence("extraVolumes"),
    }
    return pod_with(mapping_at(spec, fields), [container])


def _secret_env(name: str, at: Scalar) -> Mapping:
    reference = mapping_at(at, {"name": at, "key": StandIn("vllmApiKey", at)})
    source = mapping_at(at, {"secretKeyRef": reference})
    return mapping_at(at, {"name": StandIn(name, at), "valueFrom": source})


def _affinity(spec: Mapping) -> Mapping | None:
    terms = spec.sequence("nodeSelectorTerms")
    if terms is None:
        return None
    required = mapping_at(terms, {"nodeSelectorTerms": terms})
    node = mapping_at(terms, {"requiredDuringSchedulingIgnoredDuringExecution": required})
    return mapping_at(terms, {"nodeAffinity": node})


def _joined_image(repository: Scalar | None, tag: Scalar | None) -> Scalar | None:
    if repository is None or tag is None:
        return repository
    return Joined((repository, ":", tag))


def _own_resources(spec: Mapping) -> Mapping | None:
    resources = spec.mapping("resources")
    return resources if resources is not None and resources.entries else None


def _resources(spec: Mapping) -> Mapping:
    """`requestGPU` is the limit too; CPU and memory have fields of their own for it."""
    gpu, kind = spec.scalar("requestGPU"), spec.string("requestGPUType") or "nvidia.com/gpu"
    device: dict[str, Node | None] = {kind: gpu} if gpu is not None and gpu.text.strip() != "0" else {}
    requests = mapping_at(
        spec, {"cpu": spec.scalar("requestCPU"), "memory": spec.scalar("requestMemory"), **device}
    )
    limits = mapping_at(
        spec, {"cpu": spec.scalar("limitCPU"), "memory": spec.scalar("limitMemory"), **device}
    )
    return mapping_at(spec, {"requests": requests, "limits": limits})
