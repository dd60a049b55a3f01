"""The model files that lie around a manifest, for the plans of its servers."""

from __future__ import annotations

import os
from collections.abc import Callable

from vllmlint.lint.contracts import Contracts
from vllmlint.models.lookup import Outside


def outside_of(
    contracts: Contracts, *, model_config: str | None = None, online: bool = False, use_cache: bool = True
) -> Callable[[str], Outside]:
    """Readers of model files for a manifest's path: the contract's `config`, files beside the manifest, with
    `use_cache` the local hub cache, and with `online` the hub. `model_config` is a file given for the run.

    Raises `SourceError` where `model_config` cannot be read; what the readers raise is told there.
    """
    from vllmlint.sources.models import models_outside

    given = models_outside(model_config=model_config).given if model_config is not None else None
    known: dict[str, Outside] = {}

    def of(path: str) -> Outside:
        directory = os.path.dirname(path)
        if directory not in known:
            there = models_outside(
                contract_directory=contracts.directory_of(path),
                manifest_directory=directory or ".",
                use_cache=use_cache,
                online=online,
            )
            known[directory] = Outside(
                given, there.declared, there.beside, there.loose, there.cached, there.online
            )
        return known[directory]

    return of
