"""Section memory: what KServe gives a server that asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.finding import Finding
from vllmlint.kube.objects import KubeObject
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.world import World

#: Runtimes that KServe installs, whose container has 1 CPU and 2Gi as request and limit and no GPU
#: (kserve config/runtimes/kserve-vllmserver.yaml, kserve-huggingfaceserver.yaml).
_VLLM_RUNTIME = "kserve-vllmserver"
_BOTH_RUNTIME = "kserve-huggingfaceserver"
_RUNTIME_KINDS = ("ServingRuntime", "ClusterServingRuntime")
_DEFAULT_BYTES = 2 << 30
_HUB = "hf://"


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
    size = _size_bytes(model)
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


def _is_in_run(obj: KubeObject, runtime: Scalar, world: World) -> bool:
    return any(world.index.named(kind, runtime.text, obj) is not None for kind in _RUNTIME_KINDS)


def _size_bytes(model: Mapping) -> float | None:
    """Bytes of the model that `storageUri` names on the hub; None where that is not known."""
    uri = model.string("storageUri") or ""
    if not uri.startswith(_HUB):
        return None
    from vllmlint.memory.stored import stored_bytes
    from vllmlint.models.catalogue import find_architecture

    known = find_architecture(uri.removeprefix(_HUB).rstrip("/").partition(":")[0])
    stored = stored_bytes(known) if known is not None else None
    return stored.low if stored is not None else None
