"""What the rules about arguments share: as of which release they judge, and how sure that is."""

from __future__ import annotations

from vllmlint.facts.images import is_official
from vllmlint.finding import Confidence, Related
from vllmlint.record import record, replace
from vllmlint.regex import regex
from vllmlint.serving.flag_tables import flag_table
from vllmlint.serving.release import known_releases, nearest_table
from vllmlint.serving.server import Server

#: Tags of vLLM's own image that mean the newest release.
_NEWEST = frozenset({"", "latest", "nightly"})
_LOWER: dict[Confidence, Confidence] = {"high": "medium", "medium": "low", "low": "low"}

#: A flag at the start of a word, what is between its dashes and its name, and what comes after.
_FLAG_AND_REST = regex(r"(--?)([ \t]*)([A-Za-z][\w.-]*)([ \t\n]|=|\Z)")
_FLAG_INSIDE = regex(r"[ \t\n](--[A-Za-z][\w-]*)")

#: From this release on the number of API servers follows the data parallel size.
_SERVERS_FOLLOW_RANKS = "0.15.1"
#: How a command line that vLLM refuses ends.
REFUSED = "vLLM exits before it loads anything, and the pod restarts forever"


@record
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
    return (
        found
        if exact or not beyond
        else replace(
            found.less_sure(),
            assumptions=(*found.assumptions, f"vLLM {release} takes the arguments of {table}"),
        )
    )


def is_split_later(server: Server) -> bool:
    """Whether a controller's own script may split the arguments again (KServe evaluates them in a shell)."""
    return server.workload.carrier == "other" and not server.line.has_command


def knows(spelling: str, server: Server) -> bool:
    """Whether the release has a flag of this very spelling."""
    return spelling.replace("_", "-") in flag_table(server.release).options(server.arguments.entrypoint)


def joined_flag(index: int, server: Server) -> str | None:
    """The flag that stands in one word with its value or with other flags (`--model foo`, `-- port=1`).

    Values may hold blanks and even flags (chat templates, JSON): they are left alone.
    """
    text = server.invocation.words[index].text
    if text is None or "\0" in text:
        return None
    start = _FLAG_AND_REST.match(text)
    if start is not None and (start[2] or start[4] != "="):
        spelling = ("--" if start[2] else start[1]) + start[3]
        return spelling if (start[2] or start[4]) and knows(spelling, server) else None
    inside = _FLAG_INSIDE.search(text)
    if inside is None or not knows(inside[1], server) or text.lstrip()[:1] in {"{", "[", "'"}:
        return None
    if start is not None:
        spec = flag_table(server.release).get(start[1] + start[3])
        return inside[1] if spec is not None and spec.type in {"int", "float", "choice", "bool"} else None
    return inside[1] if index in server.arguments.positionals else None


def servers_by_default(server: Server) -> int | None:
    """API servers where no number is given; None when it cannot be told."""
    if not server.release.at_least(_SERVERS_FOLLOW_RANKS) or not server.arguments_known:
        return 1 if server.arguments_known else None
    settings = server.arguments.settings
    others = ("data_parallel_external_lb", "data_parallel_hybrid_lb", "data_parallel_multi_port_external_lb")
    if any(name in settings for name in (*others, "data_parallel_rank", "data_parallel_start_rank")):
        return None
    return server.integer("data_parallel_size")
