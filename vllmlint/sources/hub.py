"""The Hugging Face hub, asked only where the user says `--online`.

huggingface_hub does the asking (the optional extra `online`), so that HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE,
HF_HUB_CACHE and proxies mean what they mean everywhere. Only small JSON files are fetched; no code of a
repository is ever loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vllmlint.models.config_files import CONFIG_FILE, HF_QUANT_FILE, INDEX_FILE, ModelFiles
from vllmlint.sources.files import SourceError
from vllmlint.sources.model_files import MAX_BYTES, SINGLE_WEIGHT_FILE

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo


class HubUnreachableError(Exception):
    """The hub does not answer; commands end with exit code 4."""


def hub_files(model_id: str, revision: str | None = None) -> ModelFiles | str:
    """The files of a repository on the hub, or why the hub does not give them: no such repository, gated, no
    such revision, no config.json.

    Raises `SourceError` where the extra is not installed and `HubUnreachableError` where the hub does not
    answer.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError as error:
        raise SourceError("--online needs huggingface_hub: pip install 'vllmlint[online]'") from error
    disable_progress_bars()
    return _asked(model_id, revision, lambda: _fetch(HfApi(), model_id, revision))


def _asked(model_id: str, revision: str | None, fetch: Callable[[], ModelFiles | str]) -> ModelFiles | str:
    from huggingface_hub import errors

    try:
        return fetch()
    except errors.GatedRepoError:
        return f"{model_id} is gated: HF_TOKEN is unset or has no access"
    except errors.RevisionNotFoundError:
        return f"{model_id} has no revision {revision} on the hub"
    except errors.RepositoryNotFoundError:
        return f"the hub has no {model_id}, or it is private and HF_TOKEN has no access"
    except errors.EntryNotFoundError:
        return f"{model_id} has no {CONFIG_FILE} on the hub"
    except errors.HFValidationError:
        return f"{model_id} is no id of a repository"
    except errors.OfflineModeIsEnabled as error:
        raise HubUnreachableError("--online, but HF_HUB_OFFLINE is set") from error
    except Exception as error:  # the transport differs by release of huggingface_hub: requests, httpx
        detail = str(error).strip().splitlines()
        raise HubUnreachableError(
            f"the hub does not answer for {model_id}: {detail[0] if detail else type(error).__name__}"
        ) from error


def _fetch(api: Any, model_id: str, revision: str | None) -> ModelFiles | str:
    info: ModelInfo = api.model_info(model_id, revision=revision, files_metadata=True)
    sizes = {each.rfilename: each.size for each in info.siblings or ()}
    if CONFIG_FILE not in sizes:
        return f"{model_id} has no {CONFIG_FILE} on the hub"
    commit = info.sha or revision or "main"
    texts = {
        name: _text(model_id, name, commit)
        for name in (CONFIG_FILE, INDEX_FILE, HF_QUANT_FILE)
        if name in sizes and (sizes[name] or 0) <= MAX_BYTES
    }
    if CONFIG_FILE not in texts:
        return f"{CONFIG_FILE} of {model_id} is larger than {MAX_BYTES // 1024**2} MiB"
    return ModelFiles(
        f"the hub, {model_id} at {commit[:12]}",
        texts[CONFIG_FILE],
        index=texts.get(INDEX_FILE),
        hf_quant_config=texts.get(HF_QUANT_FILE),
        revision=commit,
        total_bytes=sizes.get(SINGLE_WEIGHT_FILE) if INDEX_FILE not in sizes else None,
        # "auto" and "manual" are two ways of asking for access
        gated=bool(info.gated) if info.gated is not None else None,
    )


def _text(model_id: str, name: str, commit: str) -> str:
    """A file's text, kept in the hub cache as every download is; where that cannot be written, in a
    directory that goes away."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(model_id, name, revision=commit)).read_text("utf-8", errors="replace")
    except PermissionError:
        import tempfile

        with tempfile.TemporaryDirectory() as place:
            path = hf_hub_download(model_id, name, revision=commit, cache_dir=place)
            return Path(path).read_text("utf-8", errors="replace")
