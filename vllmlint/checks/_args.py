"""What the rules about arguments share: as of which release they judge, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vllmlint.facts.images import is_official
from vllmlint.finding import Confidence, Related
from vllmlint.serving.release import known_releases, nearest_table
from vllmlint.serving.server import Server

#: Tags of vLLM's own image that mean the newest release.
_NEWEST = frozenset({"", "latest", "nightly"})
_LOWER: dict[Confidence, Confidence] = {"high": "medium", "medium": "low", "low": "low"}

#: How a command line that vLLM refuses ends.
REFUSED = "vLLM exits before it loads anything, and the pod restarts forever"


@dataclass(frozen=True, slots=True)
class Judgement:
    """How sure it is that the image holds the release that arguments are judged by, and what that assumes."""

    confidence: Confidence
    assumptions: tuple[str, ...]
    related: tuple[Related, ...]

    def less_sure(self) -> Judgement:
        """The same with one step less confidence."""
        return replace(self, confidence=_LOWER[self.confidence])

    def at_least(self, confidence: Confidence) -> Judgement:
        """The same with this confidence or more, for what hardly depends on the release."""
        order: list[Confidence] = ["low", "medium", "high"]
        return replace(self, confidence=max(self.confidence, confidence, key=order.index))


def judgement(server: Server) -> Judgement:
    """How a finding about this server's command line is to be taken.

    An official image with a tag that moves holds the newest release or a later one; any other image
    whose tag names no release is taken to hold the newest known one, which may be wrong.
    """
    release, image = server.release, server.image
    related: tuple[Related, ...] = ()
    if server.release_certainty in {"certain", "likely"} and image is not None and image.tag:
        related = (Related(image.tag_place, f"vLLM {release}"),)
    if server.release_certainty in {"certain", "contract"}:
        found = Judgement("high", (), related)
    elif server.release_certainty == "likely":
        found = Judgement("medium", (f"the image holds vLLM {release}, as its tag says",), related)
    elif image is not None and is_official(image.full_repository) and image.tag in _NEWEST:
        found = Judgement("medium", (f"the image holds vLLM {release} or a later release",), related)
    else:
        found = Judgement("low", (f"the image, whose tag names no release, holds vLLM {release}",), related)
    # of a release that was not read the neighbours tell, the newest known one only so much
    table, exact = nearest_table(release)
    beyond = release > known_releases()[-1] or release < known_releases()[0]
    return found if exact or not beyond else replace(
        found.less_sure(), assumptions=(*found.assumptions, f"vLLM {release} takes the arguments of {table}")
    )
