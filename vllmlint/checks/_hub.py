"""Whether a server downloads its model, and what keeps the download."""

from __future__ import annotations

import re

from vllmlint.kube.pods import Mount
from vllmlint.serving.cache_paths import hub_cache
from vllmlint.serving.server import Server

#: Volumes that end with the pod (a generic `ephemeral` one is deleted with it).
_WITH_THE_POD = frozenset({"emptyDir", "ephemeral"})
#: Volumes that no model is ever written to.
_NO_DATA = frozenset({"configMap", "secret", "projected", "downwardAPI"})
_TRUE = frozenset({"1", "true", "yes", "on"})


def downloads_from_hub(server: Server) -> bool:
    """Whether the server surely gets a model from the hub, and nobody else mounts volumes into its pods."""
    if server.workload.carrier == "other" or not server.arguments_known or server.model.kind != "hub":
        return False
    if any(_is_on(server, name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        return False
    load_format = server.get("load_format")
    return not load_format.known or load_format.value not in {"dummy", "tensorizer"}


def _is_on(server: Server, name: str) -> bool:
    variable = server.env.get(name)
    return variable is not None and (variable.value or "").strip().lower() in _TRUE


def has_mirror(server: Server) -> bool:
    """Whether models come from a mirror of the hub inside the cluster."""
    endpoint = server.env.get("HF_ENDPOINT")
    if endpoint is None:
        return False
    host = re.split(r"[:/]", (endpoint.value or "").rpartition("://")[2])[0]
    return "." not in host or host.endswith((".svc", ".local", ".internal"))


def holds_data(mount: Mount) -> bool:
    """Whether a volume may hold a model: no configuration, no shared memory."""
    return (
        mount.volume is not None
        and mount.volume.kind not in _NO_DATA
        and not mount.path.startswith("/dev/shm")
    )


def ends_with_pod(mount: Mount) -> bool:
    """Whether the volume is surely deleted with the pod; an undeclared one is injected by somebody."""
    return mount.volume is not None and mount.volume.kind in _WITH_THE_POD


def keeping_mounts(server: Server) -> list[Mount]:
    """The mounts that keep a download when the pod is gone: the one under the cache or, where its path
    cannot be told, any that may hold it. An undeclared volume is injected by somebody and may well stay."""
    cache, mounts = hub_cache(server), server.container.mounts
    if cache.path is not None:
        held = server.container.mount_of(cache.path)
        considered = [held] if held is not None else []
    else:
        considered = [mount for mount in mounts if mount.volume is None or holds_data(mount)]
    return [mount for mount in considered if not ends_with_pod(mount)]
