"""Section memory: what KServe gives a server that asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.finding import Finding
from vllmlint.kube.objects import KubeObject
from vllmlint.manifest.nodes import Scalar
from vllmlint.world import World

#: Runtimes that KServe installs, whose container has 1 CPU and 2Gi as request and limit and no GPU
#: (kserve config/runtimes/kserve-vllmserver.yaml, kserve-huggingfaceserver.yaml).
_VLLM_RUNTIME = "kserve-vllmserver"
_BOTH_RUNTIME = "kserve-huggingfaceserver"
_RUNTIME_KINDS = ("ServingRuntime", "ClusterServingRuntime")
_DEFAULT_BYTES = 2 << 30
_HUB = "hf://"
#: Where the kinds say what the initializer downloads.
_URIS = {
    "InferenceService": ("spec", "predictor", "model", "storageUri"),
    "LLMInferenceService": ("spec", "model", "uri"),
}
#: From this size on downloads were killed at the default limit (kserve/kserve#5326), and 2Gi were needed for
#: 14 GB (kserve/kserve#5162).
_LARGE_BYTES = 8e9
_ENOUGH_GIB = 2


def kserve_default_resources(obj: KubeObject, world: World) -> Iterator[Finding]:
    """A model on one of KServe's own runtimes that states no resources."""
    if obj.kind != "InferenceService":
        return
    model = obj.node.mapping("spec", "predictor", "model")
    runtime = model.scalar("runtime") if model is not None else None
    if model is None or runtime is None or runtime.text not in {_VLLM_RUNTIME, _BOTH_RUNTIME}:
        return
    if model.mapping("resources") is not None or _is_in_run(obj, runtime, world):
        return
    size = _size_bytes(model.string("storageUri"))
    # the second runtime serves small encoders on the CPU too
    if runtime.text == _BOTH_RUNTIME and (size is None or size < _DEFAULT_BYTES):
        return
    files = f", and the model's files take {size / (1 << 30):.3g} GiB" if size is not None else ""
    yield Finding(
        runtime.content,
        f"no resources are given, so that the runtime's own hold: 1 CPU, 2Gi of memory and no GPU{files}: "
        "the container runs on the CPU or is killed (OOMKilled) while it loads",
        "Write `resources` with cpu, memory and `nvidia.com/gpu` below `model`.",
        "1 CPU, 2Gi, no GPU",
        confidence="medium",
        assumptions=(f"the cluster's `{runtime.text}` is the one that KServe installs",),
    )


def storage_initializer_memory(obj: KubeObject, world: World) -> Iterator[Finding]:
    """A large model that KServe's init container downloads from the hub with little memory."""
    route = _URIS.get(obj.kind)
    uri = obj.node.scalar(*route) if route is not None else None
    if uri is None:
        return
    size = _size_bytes(uri.text)
    if size is None or size < _LARGE_BYTES:
        return
    rule, key = "storage-initializer-memory", "memoryLimitGib"
    limit, told = world.option(rule, key, obj), key in world.contract(obj).rules.options.get(rule, {})
    if limit >= _ENOUGH_GIB:
        return
    yield Finding(
        uri.content,
        f"KServe's storage initializer downloads {size / 1e9:.3g} GB with a memory limit of {limit:g}Gi: "
        "the hub's library buffers what it fetches in parallel; where that passes the limit, the init "
        "container is killed (OOMKilled), and the pod never leaves Init",
        "Raise the limit in the ClusterStorageContainer for hf:// or under storageInitializer in the "
        "ConfigMap inferenceservice-config (2Gi for 14 GB, 16Gi for 40 GB), or mount the model (pvc://, oci://).",
        f"{limit:g}Gi for {size / 1e9:.3g} GB",
        severity="warning" if told else None,
        confidence="medium" if told else "low",
        assumptions=() if told else (f"the cluster keeps KServe's default of {limit:g}Gi (option {key})",),
    )


def _is_in_run(obj: KubeObject, runtime: Scalar, world: World) -> bool:
    return any(world.index.named(kind, runtime.text, obj) is not None for kind in _RUNTIME_KINDS)


def _size_bytes(uri: str | None) -> float | None:
    """Bytes of the model that a URI names on the hub; None where that is not known."""
    if uri is None or not uri.startswith(_HUB):
        return None
    from vllmlint.memory.stored import stored_bytes
    from vllmlint.models.catalogue import find_architecture

    known = find_architecture(uri.removeprefix(_HUB).rstrip("/").partition(":")[0])
    stored = stored_bytes(known) if known is not None else None
    return stored.low if stored is not None else None
