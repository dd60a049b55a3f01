"""A value that knows where it came from."""

from __future__ import annotations

from typing import Any, Literal

from vllmlint.manifest.text import Place
from vllmlint.record import record

Origin = Literal["args", "env", "config-file", "configmap", "wrapper", "default", "assumed"]
Certainty = Literal["certain", "depends", "unknown"]


@record
class Value:
    """A setting as vLLM ends up with it.

    `value` is meaningless when `certainty` is `unknown` (then `reason` says why it cannot be told);
    `depends` means that it holds on some paths of a script only. `origin_name` is the variable, file
    or release that gave it. `place` is the characters of the value, `flag_place` those of the flag;
    both None for a default.
    """

    value: Any
    origin: Origin
    origin_name: str = ""
    place: Place | None = None
    flag_place: Place | None = None
    certainty: Certainty = "certain"
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether the value can be relied on."""
        return self.certainty == "certain"

    @property
    def explicit(self) -> bool:
        """Whether the manifest sets it."""
        return self.origin not in {"default", "assumed"}
