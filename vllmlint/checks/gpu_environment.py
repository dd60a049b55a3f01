"""Section gpu: variables that choose devices or driver libraries, and slices of GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vllmlint.checks._nodes import demands_of
from vllmlint.finding import Finding, Related, where
from vllmlint.kube.env import EnvVar
from vllmlint.manifest.text import Place
from vllmlint.regex import regex
from vllmlint.serving.ranks import Ranks, counted_gpus, ranks_of, runs_in_one_pod
from vllmlint.serving.server import Server
from vllmlint.wording import plural
from vllmlint.world import World

#: What CUDA and HIP read: the devices that a process may see, by index or UUID, in order.
_VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
#: An index or a UUID prefix (CUDA programming guide, environment variables).
_INDEX = regex(r"\d{1,4}")
_UUID = regex(r"(?:GPU|MIG)-", re.IGNORECASE)
#: Where GKE's device plugin mounts the driver (GoogleCloudPlatform/container-engine-accelerators).
_GKE_DRIVER = "/usr/local/nvidia"
_GKE_LABEL = "cloud.google.com/"
#: Forward compatibility libraries that the CUDA images carry beside the toolkit.
_COMPAT = regex(r"cuda[\w.-]*/compat")
_MIG_RESOURCE = "nvidia.com/mig-"


def cuda_visible_devices_override(server: Server, world: World) -> Iterator[Finding]:
    """CUDA_VISIBLE_DEVICES that hides the GPUs which the container was given, or names others."""
    variable = next((server.env[name] for name in _VISIBLE if name in server.env), None)
    if variable is None or variable.value is None or "$" in variable.value:
        return
    entries = [entry.strip() for entry in variable.value.split(",") if entry.strip()]
    trouble = _visible_trouble(entries, server, runs_in_one_pod(server))
    if trouble is None:
        return
    message, sure = trouble
    yield Finding(
        _value_place(variable, server),
        f"{variable.name} `{variable.value}` {message}",
        f"Delete {variable.name}: the container sees the GPUs it was given, counted from 0. Where several "
        "engines share a pod, newer releases choose with `--device-ids`.",
        "names one card" if any(_UUID.match(entry) for entry in entries) else "hides GPUs",
        severity=None if not sure else "error",
        confidence="high" if sure else "medium",
        related=tuple(Related(gpu.node.content, "what the container is given") for gpu in server.gpus[:1]),
    )


def _visible_trouble(entries: list[str], server: Server, one_pod: bool) -> tuple[str, bool] | None:
    """What is wrong with a list of visible devices, and whether vLLM is sure to fail."""
    gpus, ranks = counted_gpus(server), ranks_of(server)
    if any(_UUID.match(entry) for entry in entries):
        return (
            "names a card by its UUID: the pod works on one node at best, and releases that read the entries "
            "as numbers stop with `invalid literal for int()`",
            False,
        )
    if not gpus or not all(_INDEX.fullmatch(entry) for entry in entries):
        return None
    count = sum(gpu.count or 0 for gpu in gpus)
    missing = next((entry for entry in entries if int(entry) >= count), None)
    if missing is not None:
        return (
            f"names device {missing}, but the container gets {plural(count, 'GPU')}, counted from 0: CUDA "
            "stops reading there, and vLLM finds fewer GPUs or none",
            True,
        )
    if not entries:
        return "hides every GPU: vLLM stops at start with `Failed to infer device type`", True
    needed = _needed(ranks, one_pod)
    if needed > len(entries):
        return (
            f"shows {plural(len(entries), 'GPU')}, but vLLM starts {needed} GPU processes: a rank finds no "
            "device and the server stops at start",
            True,
        )
    if len(entries) < count:
        return (
            f"shows {len(entries)} of the container's {count} GPUs: the others stay idle, and no other "
            "pod can have them",
            False,
        )
    return None


def _needed(ranks: Ranks | None, one_pod: bool) -> int:
    return ranks.total if ranks is not None and one_pod else 0


def ld_library_path_override(server: Server, world: World) -> Iterator[Finding]:
    """LD_LIBRARY_PATH that loses the driver's libraries, or puts compatibility libraries before them."""
    variable = server.env.get("LD_LIBRARY_PATH")
    if variable is None or variable.value is None or "$" in variable.value:
        return
    place = _value_place(variable, server)
    compat = _COMPAT.search(variable.value)
    if compat is not None:
        node = variable.value_node
        exact = (
            node is not None and node.text == variable.value and node.source is server.container.node.source
        )
        yield Finding(
            node.part(compat.start(), compat.end()) if exact and node is not None else place,
            f"`{compat.group()}` puts CUDA's compatibility libraries before the driver's: on a node whose "
            "driver is newer than they are, CUDA stops with error 803 (unsupported driver / display driver "
            "combination)",
            "Delete the entry; where the driver really is older than the image's CUDA, newer releases turn "
            "the libraries on with VLLM_ENABLE_CUDA_COMPATIBILITY=1.",
            "before the driver's",
            confidence="medium",
            assumptions=("some node's driver is newer than the image's compatibility libraries",),
        )
        return
    keys = (demand.key for demand in demands_of(server.workload))
    selector = next((key for key in keys if key.startswith(_GKE_LABEL)), None)
    if selector is not None and server.gpus and _GKE_DRIVER not in variable.value:
        yield Finding(
            place,
            f"LD_LIBRARY_PATH without {_GKE_DRIVER}/lib64: GKE mounts the driver there and the image finds "
            "it through this variable, so that libcuda.so.1 is missing and vLLM sees no GPU",
            f"Delete the variable, or append `:{_GKE_DRIVER}/lib64`.",
            "hides the driver",
            confidence="medium",
            assumptions=(f"the node is GKE's (the pod asks for `{selector}`)",),
        )


def mig_with_tensor_parallel(server: Server, world: World) -> Iterator[Finding]:
    """An engine of several GPU processes on MIG slices."""
    slices = [gpu for gpu in server.gpus if gpu.resource.startswith(_MIG_RESOURCE)]
    ranks = ranks_of(server)
    if not slices or ranks is None or ranks.engine == 1 or ranks.place is None:
        return
    yield Finding(
        ranks.place,
        f"an engine of {ranks.engine} GPU processes ({ranks.text}) on MIG slices: a process sees one slice, "
        "and slices do not reach each other's memory, so NCCL fails and the server stops at start",
        "Use one process on a larger slice or a whole GPU; for several ranks ask for whole GPUs.",
        "cannot span slices",
        related=(Related(slices[0].node.content, f"slices: {slices[0].resource}"),),
    )


def _value_place(variable: EnvVar, server: Server) -> Place:
    node = variable.value_node if variable.source == "value" and variable.value_node else variable.name_node
    if node.source is not server.container.node.source:
        return server.anchor
    return where(node if node.text else variable.name_node)
