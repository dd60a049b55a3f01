"""What lies outside about models, put together for `vllmlint.models.lookup.find_model`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache

from vllmlint.models.config_files import ModelFiles
from vllmlint.models.lookup import DeclaredModel, Outside
from vllmlint.sources.files import SourceError
from vllmlint.sources.hub import hub_files
from vllmlint.sources.hub_cache import cached_files
from vllmlint.sources.model_files import declared_files, files_beside, loose_files, read_model_files


def models_outside(
    *,
    model_config: str | None = None,
    contract_directory: str | None = None,
    manifest_directory: str | None = None,
    env: Mapping[str, str] | None = None,
    use_cache: bool = True,
    online: bool = False,
) -> Outside:
    """Readers of model files. `model_config` is `--model-config PATH`, read at once; the directories are
    those of the contract that rules the manifest and of the manifest itself (None: not looked at).

    Raises `SourceError` where `model_config` cannot be read. The reader of the hub raises it for a missing
    extra, and `HubUnreachableError` where the hub is silent; the others raise nothing.
    """
    environment = os.environ if env is None else env

    @cache
    def declared_at(config: str) -> ModelFiles | str | None:
        if contract_directory is None:
            return None
        try:
            return declared_files(config, contract_directory)
        except SourceError as error:
            return str(error)

    def declared(entry: DeclaredModel) -> ModelFiles | str | None:
        return declared_at(entry.config) if entry.config else None

    @cache
    def beside(model: str) -> ModelFiles | None:
        return None if manifest_directory is None else files_beside(manifest_directory, model)

    @cache
    def loose() -> ModelFiles | None:
        return None if manifest_directory is None else loose_files(manifest_directory)

    @cache
    def cached(model_id: str, revision: str | None) -> ModelFiles | None:
        return cached_files(model_id, revision, environment) if use_cache else None

    @cache
    def asked(model_id: str, revision: str | None) -> ModelFiles | str | None:
        return hub_files(model_id, revision) if online else None

    given = None if model_config is None else read_model_files(model_config)
    return Outside(given=given, declared=declared, beside=beside, loose=loose, cached=cached, online=asked)
