"""What is known of an image from its repository name."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Literal

from vllmlint.record import record


@record
class ImageFacts:
    """A row of `images.json`, which explains the fields."""

    role: Literal["server", "simulator", "other"]
    entrypoint: Literal["official", "exec", "unknown"]
    release: str | None
    certainty: Literal["certain", "likely"]


@cache
def _table() -> tuple[tuple[re.Pattern[str], ImageFacts], ...]:
    rows = json.loads(Path(__file__).with_name("images.json").read_text("utf-8"))["images"]
    return tuple(
        (
            re.compile(row["match"]),
            ImageFacts(row["role"], row["entrypoint"], row["release"], row.get("certainty", "likely")),
        )
        for row in rows
    )


@cache
def image_facts(full_repository: str) -> ImageFacts | None:
    """The facts about `registry/repository`; None for an image that is not known to carry vLLM."""
    return next((facts for pattern, facts in _table() if pattern.search(full_repository)), None)


def is_official(full_repository: str) -> bool:
    """Whether an image is one of vLLM's own, whose tags name the release."""
    facts = image_facts(full_repository)
    return facts is not None and facts.certainty == "certain"
