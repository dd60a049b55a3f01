"""Section pinning: images, models and tokenizers that can change under the same manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vllmlint.finding import Finding
from vllmlint.serving.server import Server
from vllmlint.world import World

#: Tags that are moved by design; a bare major or minor version moves with every patch.
_MOVING_TAG = re.compile(
    r"(?:.*[-_.])?(?:latest|stable|nightly|main|master|edge|dev|devel|head|release|prod|production|staging|test|current)"
    r"(?:[-_.].*)?\Z",
    re.IGNORECASE,
)
_BARE_VERSION = re.compile(r"v?\d+(?:\.\d+)?\Z")


def image_tag_floating(server: Server, world: World) -> Iterator[Finding]:
    """An image whose tag moves, or that has none, and no digest."""
    image = server.image
    if image is None or image.unresolved or image.digest or world.contract(server.object).images.pin == "any":
        return
    consequence = (
        "the next restart can pull another vLLM, which may refuse these flags or need a newer driver"
    )
    advice = "Write the release and, better, its digest: `image: …/vllm-openai:v0.33.0@sha256:…`."
    if not image.tag:
        yield Finding(
            image.node.content, f"the image has no tag, so it means `latest`: {consequence}", advice, "no tag"
        )
    elif _MOVING_TAG.match(image.tag):
        yield Finding(image.tag_place, f"the tag `{image.tag}` moves: {consequence}", advice, "moves")
    elif _BARE_VERSION.match(image.tag) and server.release_certainty != "contract":
        yield Finding(
            image.tag_place,
            f"the tag `{image.tag}` names no full release and moves with every patch: {consequence}",
            advice,
            "moves with every patch",
            severity="warning",
            confidence="medium",
        )
