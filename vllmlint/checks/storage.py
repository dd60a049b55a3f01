"""Section storage: where downloaded models lie, and whether they are still there for the next pod."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from vllmlint.checks._hub import downloads_from_hub, ends_with_pod, has_mirror, holds_data, keeping_mounts
from vllmlint.facts.images import is_official
from vllmlint.finding import Edit, Finding, Fix, Related, where
from vllmlint.kube.pods import Mount
from vllmlint.manifest.text import Place
from vllmlint.regex import regex
from vllmlint.serving.cache_paths import CACHE_VARIABLES, CachePath, hub_cache
from vllmlint.serving.server import Server
from vllmlint.world import World

#: Directories that only the hub's library uses.
_HUB_DIRECTORY = regex(r"hugging-?_?face|(?:^|[/_-])hf(?:$|[/_-])", re.IGNORECASE)
#: What people call a volume that is meant to hold models.
_MODEL_NAME = regex(
    r"model|weight|checkpoint|cache|hugging|(?:^|[/_-])(?:hf|llms?)(?:$|[/_-])", re.IGNORECASE
)
#: Caches and data of something else.
_OTHER_PURPOSE = regex(
    r"triton|torch|inductor|flashinfer|compil|kernel|lmcache|kv|adapter|lora|dataset|numba|cuda|xla|jit|neuron"
    r"|template|plugin|parser|(?:^|[/_-])(?:logs?|pip|uv|nv|tmp|shm|dshm|config|prefix)(?:$|[/_-])|/\.?vllm\Z",
    re.IGNORECASE,
)
#: Read by the transformers library (for other files than weights) or by nothing at all; vLLM looks at none.
_NOT_READ = frozenset({"TRANSFORMERS_CACHE", "PYTORCH_TRANSFORMERS_CACHE", "PYTORCH_PRETRAINED_BERT_CACHE"})
#: How the cache is moved, by what decides it now.
_CACHE_SETTING = {
    "--download-dir": "--download-dir",
    "HF_HUB_CACHE": "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE": "HF_HUB_CACHE",
}
#: A model's size in its name (`Qwen3-0.6B`, `opt-125m`); `A3B` in `30B-A3B` counts active parameters.
_SIZE_IN_NAME = regex(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([bm])(?![A-Za-z0-9])", re.IGNORECASE)


def cache_path_mismatch(server: Server, world: World) -> Iterator[Finding]:
    """A volume for models that the downloads do not go to."""
    if not downloads_from_hub(server):
        return
    cache = hub_cache(server)
    if cache.path is None:
        return
    held = server.container.mount_of(cache.path)
    if held is not None and not ends_with_pod(held):
        return
    unused = next((mount for mount in server.container.mounts if _is_missed(mount, cache.path, server)), None)
    if unused is None or (held is not None and ends_with_pod(unused)):
        return
    note = _note(unused, server)
    certain = bool(note or _HUB_DIRECTORY.search(unused.path)) and not cache.assumptions
    variable = _CACHE_SETTING.get(cache.origin, "HF_HOME")
    setting = f"`{variable}={unused.path}`" if variable.startswith("-") else f"`{variable}: {unused.path}`"
    yield Finding(
        where(unused.node.scalar("mountPath") or unused.node),
        f"the volume `{unused.name}` at `{unused.path}` is not where vLLM keeps models: it downloads "
        f"`{server.model.id}` to `{cache.path}` ({_origin_words(cache)}), {_loss(held)}",
        f"Set {setting}, or mount the volume at `{_mount_point(cache)}`.{note}",
        "no download lands here",
        confidence="high" if certain else "medium",
        assumptions=cache.assumptions,
        related=(Related(cache.place, f"downloads go to {cache.path}"),) if cache.place is not None else (),
        fix=_point_at(server, cache, unused),
    )


def model_cache_not_persistent(server: Server, world: World) -> Iterator[Finding]:
    """A model from the hub with no volume that outlives the pod under it."""
    if not downloads_from_hub(server) or server.workload.is_batch or has_mirror(server):
        return
    size = _billions(server.model.id)
    if size is not None and size < world.option(
        "model-cache-not-persistent", "minBillionParameters", server.object
    ):
        return
    cache = hub_cache(server)
    if keeping_mounts(server):
        return
    held = server.container.mount_of(cache.path) if cache.path is not None else None
    official = server.image is not None and is_official(server.image.full_repository)
    related = []
    if held is not None and server.model.place is not None:
        related.append(Related(server.model.place, "downloaded from the hub"))
    if held is not None and held.volume is not None:
        key = held.volume.node.key(held.volume.kind)
        related += [Related(key.content, "deleted with the pod")] if key is not None else []
    if held is None and cache.place is not None:
        related.append(Related(cache.place, f"the cache is {cache.path}"))
    yield Finding(
        _place(server, held),
        f"`{server.model.id}` is downloaded to {_holder(cache, held)} downloads it again, and none starts "
        "while the hub is out of reach",
        _persist(cache, held),
        "lost with the pod" if held is not None else "downloaded again by every new pod",
        confidence="high" if official else "medium",
        assumptions=() if official else ("the image does not hold the model already",),
        related=tuple(related),
    )


def _billions(model: str) -> float | None:
    """Parameters in billions as the model's name states them; None when it does not."""
    match = _SIZE_IN_NAME.search(model)
    if match is None:
        return None
    return float(match[1]) / (1000 if match[2] in "mM" else 1)


def _is_missed(mount: Mount, cache: str, server: Server) -> bool:
    """Whether a mount was meant for models, though the cache lies elsewhere and nothing names it."""
    if not holds_data(mount) or mount.path == "/" or mount.volume is None:
        return False
    if (
        mount.holds(cache)
        or mount.path.startswith(cache.rstrip("/") + "/")
        or _OTHER_PURPOSE.search(mount.path)
    ):
        return False
    if _is_named(mount.path, server):
        return False
    if _HUB_DIRECTORY.search(mount.path):
        return True
    names = (mount.path, mount.name, mount.volume.claim_name or "")
    return not ends_with_pod(mount) and any(
        _MODEL_NAME.search(name) and not _OTHER_PURPOSE.search(name) for name in names
    )


def _is_named(path: str, server: Server) -> bool:
    """Whether a variable, an argument or the working directory says what the path is for."""
    mention = re.compile(re.escape(path) + r"(?![\w.-])")
    cache_names = {name for name, _ in CACHE_VARIABLES} | _NOT_READ
    texts = [variable.value or "" for name, variable in server.env.items() if name not in cache_names]
    texts += [word.text or "" for word in server.line.argv]
    texts.append(server.container.node.string("workingDir") or "")
    return any(mention.search(text) for text in texts)


def _origin_words(cache: CachePath) -> str:
    if cache.origin == "default":
        return "the default for the user root"
    return f"as {cache.origin} says" if cache.origin != "HOME" else "below HOME"


def _loss(held: Mount | None) -> str:
    if held is None:
        return "so every new container downloads it again onto the node's disk"
    return f"the emptyDir `{held.name}`, so every new pod downloads it again"


def _holder(cache: CachePath, held: Mount | None) -> str:
    """The path of the cache, what holds it, and who does not find it there."""
    if cache.path is None:
        return "the Hugging Face cache, and no volume of the container outlives the pod: every new pod"
    if held is None or held.volume is None:
        return f"`{cache.path}`, in the container's own file system: every new or restarted container"
    kind = "a volume that is deleted with the pod" if held.volume.kind == "ephemeral" else "an emptyDir"
    return f"`{cache.path}`, {kind}: every new pod (rollout, drain, scale-up)"


def _persist(cache: CachePath, held: Mount | None) -> str:
    if cache.path is None:
        return "Mount a PersistentVolumeClaim, or a hostPath of the node, and set HF_HOME to its path."
    if held is not None and held.volume is not None:
        return (
            f"Make the volume `{held.name}` a PersistentVolumeClaim, or a hostPath of the node, in place of "
            f"{held.volume.kind}."
        )
    return f"Mount a PersistentVolumeClaim, or a hostPath of the node, at `{_mount_point(cache)}`."


def _mount_point(cache: CachePath) -> str:
    """The directory to mount a volume at: the whole of HF_HOME where the cache is its `hub`."""
    if cache.path is None:
        return ""
    if cache.origin in {"HF_HOME", "XDG_CACHE_HOME", "HOME", "default"}:
        return posixpath.dirname(cache.path)
    return cache.path


def _note(unused: Mount, server: Server) -> str:
    mention = re.compile(re.escape(unused.path) + r"(?![\w.-])")
    names = sorted(
        name for name in _NOT_READ & server.env.keys() if mention.search(server.env[name].value or "")
    )
    return f" vLLM does not read {names[0]}." if names else ""


def _point_at(server: Server, cache: CachePath, unused: Mount) -> Fix | None:
    """Write the mount's path where the cache's path is written."""
    variable = server.env.get(cache.origin)
    if (
        variable is None
        or variable.source != "value"
        or cache.place is None
        or cache.origin in {"HOME", "XDG_CACHE_HOME"}
    ):
        return None
    return Fix(f"set {cache.origin} to the volume's path", (Edit(cache.place, unused.path),), safe=False)


def _place(server: Server, held: Mount | None) -> Place:
    if held is not None:
        return where(held.node.scalar("mountPath") or held.node)
    return server.model.place or server.anchor
