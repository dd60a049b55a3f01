"""The words for how bad a finding is and how sure it is; every room may use them."""

from __future__ import annotations

from typing import Literal

#: error: will fail or is dangerous; warning: likely trouble; info: advice.
Severity = Literal["error", "warning", "info"]
Confidence = Literal["high", "medium", "low"]

SEVERITY_RANK: dict[Severity, int] = {"info": 0, "warning": 1, "error": 2}
CONFIDENCE_RANK: dict[Confidence, int] = {"low": 0, "medium": 1, "high": 2}
