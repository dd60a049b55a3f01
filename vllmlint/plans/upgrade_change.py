"""What all parts of an upgrade plan share: one change, and a server as two releases see it."""

from __future__ import annotations

import json
from copy import copy
from functools import cached_property
from typing import Any, Literal

from vllmlint.manifest.text import Place
from vllmlint.record import record, replace
from vllmlint.serving.arg_results import Setting
from vllmlint.serving.arguments import parse_arguments
from vllmlint.serving.detect import entrypoint_of
from vllmlint.serving.flag_tables import Entrypoint
from vllmlint.serving.release import Release
from vllmlint.serving.server import Server
from vllmlint.world import World, image_policy

ChangeKind = Literal["flag", "env", "default", "metric", "probe"]


@record
class Change:
    """One thing that another release does differently.

    `before` and `after` say in words what each release does with it, `breaks` whether the target
    refuses it, or whatever reads it finds nothing; `replacement` is what to write instead. `place` is
    None for what is not written. `note` says why it matters, `message` what vLLM itself says.
    """

    kind: ChangeKind
    name: str
    before: str | None
    after: str | None
    breaks: bool = False
    replacement: str | None = None
    place: Place | None = None
    note: str | None = None
    message: str | None = None

    def row(self) -> dict[str, Any]:
        """The change as plain data."""
        place = self.place
        return {
            "kind": self.kind,
            "name": self.name,
            "before": self.before,
            "after": self.after,
            "breaks": self.breaks,
            "replacement": self.replacement,
            "note": self.note,
            "message": self.message,
            "file": place.source.path if place is not None else None,
            "line": place.line if place is not None else None,
        }


@record
class Sides:
    """One server as it is and as the target release sees it.

    `before` is None when the release it runs now is not known; then only what the target itself
    refuses or lacks can be said.
    """

    before: Server | None
    after: Server

    @property
    def source(self) -> Release | None:
        """The release it runs now."""
        return self.before.release if self.before is not None else None

    @property
    def target(self) -> Release:
        """The release it is to run."""
        return self.after.release


def sides_of(server: Server, world: World, source: Release | None, target: Release) -> Sides:
    """The two sides of a server; `source` overrides the release that its image tells."""
    if source is None and server.release_certainty != "assumed":
        source = server.release
    before = at_release(server, world, source) if source is not None else None
    return Sides(before, at_release(server, world, target))


def at_release(server: Server, world: World, release: Release) -> Server:
    """The same container with an image of another release: its entrypoint may be another one too."""
    entrypoint: Entrypoint = server.invocation.entrypoint
    if server.invocation.implied:
        policy = image_policy(world.contract(server.object))
        rule = policy.rule_for(server.image.reference) if server.image is not None else None
        entrypoint = entrypoint_of(release, rule)
    other = copy(server)
    for name in list(vars(other)):
        # What was worked out for the other release is worked out again.
        if isinstance(getattr(type(server), name, None), cached_property):
            del vars(other)[name]
    other._values, other.memo = {}, {}
    other.release = release
    other.invocation = replace(server.invocation, entrypoint=entrypoint)
    return other


def reached(release: Release, version: str | None) -> bool:
    """Whether `release` is `version` or newer; the oldest one (None) is always reached."""
    return version is None or release.at_least(version)


def shown(value: Any) -> str:
    """A value as one writes it on a command line: JSON for what is more than a word."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def accepted(text: str, after: Server) -> bool:
    """Whether the target takes a flag written as one word: its parser does, and it knows the value."""
    if not text.startswith("-"):
        return True
    output = parse_arguments([text], after.release, after.invocation.entrypoint)
    if any(error.word == 0 for error in output.errors):
        return False
    return all(_is_known(setting) for setting in output.occurrences)


def _is_known(setting: Setting) -> bool:
    """Whether vLLM itself brings the value, where it is one of a list."""
    known = {str(each).lower() for each in setting.spec.known} if setting.spec is not None else set()
    return not known or not isinstance(setting.value, str) or setting.value.lower() in known
