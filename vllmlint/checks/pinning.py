"""Section pinning: images that can change under the same manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from vllmlint.checks._placeholders import is_placeholder_image
from vllmlint.facts.images import image_facts
from vllmlint.finding import Confidence, Finding, Related, Severity
from vllmlint.kube.pods import Workload
from vllmlint.regex import regex
from vllmlint.serving.image import ImageReference
from vllmlint.serving.server import Server
from vllmlint.world import World

#: Names of channels: whoever publishes them moves them by design.
_CHANNEL = regex(
    r"(?:.*[-_.])?(?P<word>latest|stable|nightly|main|master|trunk|tip|head|edge|dev|devel|develop|canary|rolling"
    r"|snapshot|unstable)(?:[-_.].*)?\Z",
    re.IGNORECASE,
)
_VERSION = regex(r"(?:^|[-_+])v?\d+\.\d+\.\d+", re.IGNORECASE)
#: A date or a commit: such a tag is pushed once.
_STAMP = regex(
    r"(?:^|[-_.+])(?:g|sha)?(?:20\d{6}|20\d\d[-_.]\d\d[-_.]\d\d|(?=[a-f]*\d)[0-9a-f]{7,40})(?=$|[-_.+])",
    re.IGNORECASE,
)
#: A build number beside a channel's name: `main-1234`, `dev_b12`.
_BUILD = regex(r"(?:^|[-_.])(?:v|b|r|build|ci)?\d{2,}(?=$|[-_.])", re.IGNORECASE)
#: Parts of a tag that name a platform, not a build.
_PLATFORM = regex(
    r"(?<![a-z0-9])(?:x86[-_]?64|amd64|arm64|aarch64|(?:cu|cuda|rocm|py|python|ubuntu|ubi|torch|pytorch)[-_]?\d+(?:\.\d+)*)"
    r"(?![a-z0-9])",
    re.IGNORECASE,
)
_BARE_VERSION = regex(r"v?0(?:\.\d+)?\Z")
#: Nightly builds that vLLM keeps on Docker Hub (.buildkite/scripts/cleanup-nightly-builds.sh).
_NIGHTLIES_KEPT = 14


class _Motion(NamedTuple):
    """Why a tag does not hold still."""

    reason: str
    label: str
    severity: Severity | None = None
    confidence: Confidence = "high"


def _motion(image: ImageReference, server: Server) -> _Motion | None:
    """How the image can change under the same reference; None where it stays, or is a placeholder."""
    if image.unresolved or image.digest or is_placeholder_image(image.reference):
        return None
    if not image.tag:
        # kustomize and kind set the tag of an image that is written as one bare word
        bare = "/" not in image.reference
        return _Motion(
            "the image has no tag, so it means `latest`", "no tag", None, "low" if bare else "high"
        )
    tag, facts = image.tag, image_facts(image.full_repository)
    channel, stamped = _CHANNEL.match(tag), _STAMP.search(tag) is not None
    official = facts is not None and facts.release == "tag"
    if channel is not None and not stamped:
        word = channel["word"].lower()
        if _VERSION.search(tag):
            return (
                _Motion(f"the tag `{tag}` is built anew", "built anew", "warning", "medium")
                if word in {"latest", "nightly"}
                else None
            )
        numbered = word != "latest" and _BUILD.search(_PLATFORM.sub("", tag)) is not None
        return None if numbered else _Motion(f"the tag `{tag}` moves", "moves")
    if server.release_certainty == "contract":
        return None
    if facts is not None and facts.release in {"tag", "leading"} and _BARE_VERSION.match(tag):
        reason = f"the tag `{tag}` names no full release and moves with every patch"
        return _Motion(reason, "moves with every patch", "warning", "medium")
    numbered = stamped or any(char.isdigit() for char in _PLATFORM.sub("", tag))
    if not numbered or (official and not stamped and not _VERSION.search(tag)):
        reason = f"the tag `{tag}` names no release, and nothing keeps it from being pushed again"
        return _Motion(reason, "names no release", "warning", "medium")
    return None


def image_tag_floating(server: Server, world: World) -> Iterator[Finding]:
    """An image whose tag moves or goes away, or that has none, and no digest."""
    image = server.image
    if image is None or world.contract(server.object).images.pin == "any":
        return
    release = "v0.33.0" if server.release_certainty == "assumed" else f"v{server.release}"
    advice = (
        f"Write the release and, better, its digest: `image: {image.full_repository}:{release}@sha256:…`."
    )
    facts = image_facts(image.full_repository)
    if facts is not None and facts.release != "tag":
        advice = (
            "Write a tag that is pushed once and, better, its digest:"
            f" `image: {image.full_repository}:…@sha256:…`."
        )
    motion = _motion(image, server)
    if motion is not None:
        yield Finding(
            image.tag_place,
            f"{motion.reason}: the next restart can pull another vLLM, which may refuse these flags or"
            " need a newer driver",
            advice,
            motion.label,
            motion.severity,
            motion.confidence,
            ("no kustomization sets the tag of this image",) if motion.confidence == "low" else (),
        )
    elif (
        not image.digest and image.full_repository == "vllm/vllm-openai" and image.tag.startswith("nightly-")
    ):
        yield Finding(
            image.tag_place,
            f"vLLM keeps its last {_NIGHTLIES_KEPT} nightly builds on Docker Hub: after about two weeks no "
            f"new node can pull `{image.tag}`",
            "Write a release, or copy this build into a registry of your own.",
            "is deleted after two weeks",
            "warning",
            "medium",
        )


def image_not_digest_pinned(server: Server, world: World) -> Iterator[Finding]:
    """A tag that stands still, without the digest that proves it."""
    image, pin = server.image, world.contract(server.object).images.pin
    if image is None or pin == "any" or not image.tag or image.unresolved or image.digest:
        return
    if _motion(image, server) is not None or is_placeholder_image(image.reference):
        return
    if pin != "digest" and not _VERSION.search(image.tag):
        return
    consequence = "a tag can be pushed again, and then two pods of one manifest run different vLLMs"
    demand = "the contract wants every image pinned by digest (`images.pin`), and " if pin == "digest" else ""
    yield Finding(
        image.tag_place,
        f"{demand}`{image.tag}` is pinned by tag only: {consequence}",
        f"Append the digest that your registry shows for it: `image: {image.reference}@sha256:…`.",
        "no digest",
        "error" if pin == "digest" else None,
    )


def image_pull_policy_mixed_versions(server: Server, world: World) -> Iterator[Finding]:
    """Several pods of a tag that moves, where each node keeps what it pulled first."""
    image = server.image
    motion = _motion(image, server) if image is not None else None
    pods = _pods(server.workload, world)
    if image is None or motion is None or pods is None:
        return
    policy = server.container.node.scalar("imagePullPolicy")
    name = policy.text if policy is not None else "Always" if image.tag in {"", "latest"} else "IfNotPresent"
    if name == "Always":
        return
    default = "" if policy is not None else ", the default for this tag"
    yield Finding(
        policy.content if policy is not None else image.tag_place,
        f"with `imagePullPolicy: {name}`{default}, each node keeps the build of `{image.tag or 'latest'}` "
        f"that it pulled first: {pods} of this {server.workload.kind} can run different vLLMs behind one "
        "Service",
        "Write a release or a digest; `imagePullPolicy: Always` only makes every start pull what is new"
        " that day.",
        "each node keeps its own build",
        confidence=motion.confidence,
        related=(Related(image.tag_place, "this tag moves"),) if policy is not None else (),
    )


def _pods(workload: Workload, world: World) -> str | None:
    """How many pods there can be, in words; None when it is one, or not said."""
    if workload.kind == "DaemonSet" and workload.carrier == "plain":
        return "the pods"
    replicas = workload.replicas
    if replicas is not None and replicas > 1:
        return f"the {replicas} replicas"
    for kind, target, most in (
        ("HorizontalPodAutoscaler", "scaleTargetRef", "maxReplicas"),
        ("ScaledObject", "scaleTargetRef", "maxReplicaCount"),
    ):
        for scaler in world.index.nearby(kind, workload.object):
            aimed = scaler.node.string("spec", target, "kind") or "Deployment"
            named = scaler.node.string("spec", target, "name")
            limit = scaler.node.integer("spec", most)
            if (aimed, named) == (workload.kind, workload.object.name) and limit is not None and limit > 1:
                return f"the up to {limit} replicas"
    return None
