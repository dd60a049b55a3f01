"""vLLM releases: their order, their spellings in image tags, and the nearest one a table exists for."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from functools import cache

from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.resources import resource

#: `v0.10.2`, `0.8.5.post1`, `0.11.1rc3`, `0.6.3.post1-cu118`, `0.9.0.dev12+gabc`, `v0.7.3.self.post1`; the
#: rest of a tag after a dash, a plus or a word names a build (CUDA version, architecture, team), not another
#: release.
_TAG = regex(
    r"v?(?P<numbers>\d{1,9}\.\d{1,9}(?:\.\d{1,9}){0,2})"
    r"(?:[._]?(?P<pre>a|b|rc|alpha|beta)[._]?(?P<pre_number>\d{0,9}))?"
    r"(?:[._]?post(?P<post>\d{1,9}))?"
    r"(?:[._]?dev(?P<dev>\d{0,9}))?"
    r"(?:(?:[-+_]|\.(?=[A-Za-z]))(?P<suffix>[A-Za-z0-9][\w.+-]*))?",
    re.IGNORECASE,
)
_PRE_RANK = {"a": -3, "alpha": -3, "b": -2, "beta": -2, "rc": -1}
#: A development build comes before everything of its number.
_DEV_RANK = -4


@record
class Release:
    """One vLLM release; ordered as Python package versions are.

    `text` is the plain version (`0.8.5.post1`, no leading `v`), `suffix` what an image tag had after
    it (`cu129`, `x86_64`; empty if nothing). Two releases that differ in the suffix only are equal.
    """

    key: tuple[int, ...]
    text: str
    suffix: str = ""

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Release) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __lt__(self, other: Release) -> bool:
        return self.key < other.key

    def __le__(self, other: Release) -> bool:
        return self.key <= other.key

    def __gt__(self, other: Release) -> bool:
        return self.key > other.key

    def __ge__(self, other: Release) -> bool:
        return self.key >= other.key

    @classmethod
    def parse(cls, tag: str) -> Release | None:
        """The release that an image tag or version names; None if it names none (`latest`, `nightly`)."""
        match = _TAG.fullmatch(tag.strip())
        if match is None:
            return None
        numbers = tuple(int(part) for part in match["numbers"].split("."))
        padded = numbers + (0,) * (4 - len(numbers))
        pre = _PRE_RANK[match["pre"].lower()] if match["pre"] else 0
        number = int(match["pre_number"] or 0)
        text = match["numbers"]
        if match["pre"]:
            text += f"{match['pre'].lower()}{number}"
        if match["post"] is not None:
            text += f".post{int(match['post'])}"
        post = int(match["post"]) + 1 if match["post"] is not None else 0
        # A development build of a final (or post) number precedes it.
        dev = 0 if match["dev"] is None else _DEV_RANK
        if match["dev"] is not None:
            text += f".dev{int(match['dev'] or 0)}"
        return cls((*padded, min(pre, dev), number, post), text, match["suffix"] or "")

    @property
    def prerelease(self) -> bool:
        """Whether this is a release candidate or another build before the final one."""
        return self.key[4] < 0

    def at_least(self, version: str) -> bool:
        """Whether this release is `version` (such as `0.9.0`) or newer."""
        return self.key >= _known(version).key

    def __str__(self) -> str:
        """The plain version."""
        return self.text


@cache
def _known(version: str) -> Release:
    release = Release.parse(version)
    if release is None:
        raise ValueError(f"not a vLLM version: {version!r}")
    return release


@cache
def known_releases() -> tuple[Release, ...]:
    """The releases that tables exist for, oldest first (source: `schemas/vllm/releases.json`)."""
    rows = json.loads(resource("schemas", "vllm", "releases.json").read_text("utf-8"))
    return tuple(_known(version) for version in rows["releases"])


@cache
def nearest_table(release: Release) -> tuple[Release, bool]:
    """The release whose tables stand for `release`, and whether that is the very release.

    A release that no table was read for uses the nearest older one, one older than all the oldest.
    """
    releases = known_releases()
    position = bisect_right(releases, release)
    found = releases[max(position - 1, 0)]
    return found, found == release


def table_index(release: Release) -> int:
    """The place of `release`'s table among `known_releases()`."""
    return known_releases().index(nearest_table(release)[0])
