"""Section gpu: the image against the GPUs and drivers of the nodes it may land on."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vllmlint.checks._hardware import Card, cards_of, gpu_choice_place, node_labels, pools_for
from vllmlint.checks._nodes import PLACEHOLDER
from vllmlint.facts.images import is_official
from vllmlint.finding import Finding, Related, where
from vllmlint.kube.pods import Workload
from vllmlint.manifest.text import Place
from vllmlint.serving.image import ImageReference
from vllmlint.serving.server import Server
from vllmlint.severity import Confidence
from vllmlint.world import World

if TYPE_CHECKING:
    from vllmlint.engine.kernels import CudaBuild

#: Labels of GPU feature discovery with the major version of the driver (node_labels.json).
_DRIVER_LABELS = frozenset({"nvidia.com/cuda.driver.major", "nvidia.com/cuda.driver-version.major"})
_COMPATIBILITY = "VLLM_ENABLE_CUDA_COMPATIBILITY"


def gpu_arch_not_in_image(server: Server, world: World) -> Iterator[Finding]:
    """An image of vLLM that has no kernels for the GPU it may get."""
    image = _cuda_image(server)
    if image is None or not any(gpu.accelerator.kind == "cuda" for gpu in server.gpus):
        return
    cards = cards_of(server, world)
    if not cards:
        return
    from vllmlint.engine.kernels import kernels_missing

    build = _build(server)
    lacking = [(card, text) for card in cards if (text := kernels_missing(card.gpu, build))]
    if not lacking or build is None:
        return
    card, text = lacking[0]
    everywhere = len(lacking) == len(cards)
    older = card.gpu.compute_capability is not None and card.gpu.compute_capability < build.lowest
    where_it_is = "" if card.pool is None else f" of pool {card.pool}"
    choice = gpu_choice_place(server, frozenset({card.gpu.slice_of or card.gpu.id}))
    yield Finding(
        image.tag_place,
        f"{text}: on the GPU{where_it_is} vLLM stops at start with `no kernel image is available for "
        "execution on the device`",
        _other_image(older, build) + ("" if everywhere else " Or keep the pod off that pool by its labels."),
        f"no kernels for the {card.gpu.name}",
        severity=None if everywhere else "warning",
        confidence=_surety(lacking, everywhere),
        assumptions=() if all(one.sure for one, _ in lacking) else ("the label names the GPU by its words",),
        related=(Related(choice, f"gives {card.gpu.name}"),) if choice is not None else (),
    )


def _surety(lacking: list[tuple[Card, str]], everywhere: bool) -> Confidence:
    if not all(card.sure for card, _ in lacking):
        return "low"
    return "high" if everywhere else "medium"


def _other_image(older: bool, build: CudaBuild) -> str:
    from vllmlint.engine.kernels import shown

    if not older:
        return "Use vLLM 0.9.0 or later, whose images are built for CUDA 12.8 and newer GPUs."
    if build.lowest > (7, 0) and not build.release.at_least("0.20.0"):
        return "Use the image of this release without the CUDA 13 suffix, or another GPU."
    return (
        f"Use a GPU of compute capability {shown(build.lowest)} or later; for Volta, vLLM's images up to "
        "0.19.0 have kernels (or build vLLM with CUDA 12.6)."
    )


def cuda_driver_mismatch(server: Server, world: World) -> Iterator[Finding]:
    """An image whose CUDA version the driver of the nodes does not run."""
    image = _cuda_image(server)
    if image is None or _enables_compatibility(server):
        return
    build = None
    for driver, where_it_is, place, everywhere, only_newer in _drivers(server, world):
        from vllmlint.engine.kernels import driver_too_old, shown

        build = build or _build(server)
        lowest = None if build is None else driver_too_old(driver, build)
        if build is None or lowest is None:
            continue
        yield Finding(
            image.tag_place,
            f"{build.words} needs driver {lowest} or later, and {where_it_is} has {driver}: the runtime "
            f"refuses the container (`unsatisfied condition: cuda>={shown(build.cuda)}`), or torch says "
            "`The NVIDIA driver on your system is too old` and vLLM stops",
            f"Update the driver to {lowest} or later, or use an image for CUDA {build.cuda[0] - 1} "
            f"({_older_image(build)}); {_COMPATIBILITY}=1 turns on the compatibility libraries that data "
            "centre GPUs can use.",
            f"CUDA {shown(build.cuda)}",
            severity=None if everywhere else "warning",
            confidence="high" if only_newer else "medium",
            assumptions=()
            if only_newer
            else ("nothing puts CUDA's compatibility libraries before the driver's",),
            related=(Related(place, f"driver {driver}"),) if place is not None else (),
        )
        return


def _older_image(build: CudaBuild) -> str:
    return "a tag with -cu129" if build.release.at_least("0.20.0") else "an older release"


def _drivers(server: Server, world: World) -> Iterator[tuple[str, str, Place | None, bool, bool]]:
    """What is known of drivers: the version, where it is from in words and in the file, whether no other
    node can get the pod, and whether the cards have no compatibility libraries (GeForce and workstation)."""
    for label in node_labels(server.workload):
        if label.key in _DRIVER_LABELS and label.value.isdigit():
            yield label.value, f"the pod's node (`{label.key}`)", label.node.content, True, False
    pools = pools_for(server.workload, world)
    for pool in pools:
        facts = pool.profile.gpu
        if facts is None or facts.driver is None or any(one.vendor != "nvidia" for one in facts.candidates):
            continue
        consumer = bool(facts.candidates) and all("-rtx-" in card.id for card in facts.candidates)
        place = server.gpus[0].node.content if server.gpus else None
        yield facts.driver, f"pool `{pool.profile.name}`", place, len(pools) == 1, consumer


def runtime_class_missing(workload: Workload, world: World) -> Iterator[Finding]:
    """A RuntimeClass for NVIDIA's runtime that the pod does not name, or a name that no class has."""
    classes = list(world.index.nearby("RuntimeClass", workload.object))
    servers = [one for one in world.servers_in(workload) if not one.is_simulator]
    gpu = next((gpu for one in servers for gpu in one.gpus if gpu.accelerator.kind == "cuda"), None)
    if not classes or gpu is None or workload.carrier == "other":
        return
    named = workload.spec.scalar("runtimeClassName")
    if named is not None:
        near = difflib.get_close_matches(named.text, [one.name for one in classes], n=1, cutoff=0.8)
        if named.text in {one.name for one in classes} or not near or PLACEHOLDER.search(named.text):
            return
        yield Finding(
            named.content,
            f"no RuntimeClass `{named.text}` is among the manifests: without it the API server refuses the "
            "pod",
            f"Did you mean `{near[0]}`?",
            "no such class",
            confidence="medium",
            assumptions=("the manifests hold every RuntimeClass of the cluster",),
        )
        return
    nvidia = next((one for one in classes if "nvidia" in f"{one.name} {one.node.string('handler')}"), None)
    if nvidia is None:
        return
    yield Finding(
        gpu.node.content,
        f"the cluster has a RuntimeClass `{nvidia.name}` for NVIDIA's runtime, and the pod does not name it: "
        "in the nodes' default runtime the container starts without the driver's libraries and vLLM stops "
        "with `Failed to infer device type`",
        f"Write `runtimeClassName: {nvidia.name}` in the pod's spec.",
        "needs NVIDIA's runtime",
        confidence="medium",
        assumptions=(
            "NVIDIA's runtime is not the default of the nodes, and devices are not injected by CDI",
        ),
        related=(Related(where(nvidia.anchor), "the RuntimeClass"),),
    )


def _cuda_image(server: Server) -> ImageReference | None:
    """The image, where it is one of vLLM's own CUDA builds of a release that its tag names."""
    image = server.image
    own = image is not None and not image.unresolved and is_official(image.full_repository)
    if image is None or not own or server.release_certainty != "certain":
        return None
    return image if image.name.removesuffix("-nonroot") in {"vllm-openai", "vllm-openai-ubi9"} else None


def _build(server: Server) -> CudaBuild | None:
    from vllmlint.engine.kernels import cuda_build

    # `v0.19.0-cu130` has the variant behind the release, `cu130-v0.19.0` is none of vLLM's tags
    return cuda_build(server.release)


def _enables_compatibility(server: Server) -> bool:
    variable = server.env.get(_COMPATIBILITY)
    return variable is not None and (variable.value or "1").strip() not in {"", "0"}
