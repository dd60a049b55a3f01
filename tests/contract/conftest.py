"""Every test of the contract knows the same rules."""

from __future__ import annotations

import pytest
from contract_samples import use_known_rules


@pytest.fixture(autouse=True)
def _known_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    use_known_rules(monkeypatch)
