"""Trouble as plain data, for the rooms that know no rules."""

from __future__ import annotations

from vllmlint.manifest.text import Place
from vllmlint.record import record


@record
class Problem:
    """Trouble met while reading; a check of section 0 turns it into a finding.

    `kind` is the name of that rule (`document-unparsable`, `limit-exceeded`, `duplicate-key`, …),
    `message` says what is wrong, `help` what to do; `related` holds further places with labels.
    """

    kind: str
    place: Place
    message: str
    help: str = ""
    related: tuple[tuple[Place, str], ...] = ()
