"""Which model a server holds: by hub id, by what the contract says of a name or path, by its config.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vllmlint.models.catalogue import catalogue_ids, find_architecture
from vllmlint.plans.fit_subject import KnownModel
from vllmlint.serving.model import ModelKind, classify_model

if TYPE_CHECKING:
    from vllmlint.contract.settings import Contract, Model


def known_model(name: str, kind: ModelKind, contract: Contract | None = None) -> KnownModel:
    """What is known of a model as it is written; the contract's word comes before the catalogue's."""
    if kind == "unknown":
        return KnownModel(name, None, "the manifest does not tell the model")
    entry = _entry(name, contract)
    wanted = entry.id if entry is not None else name
    found = find_architecture(wanted)
    if found is not None:
        return KnownModel(wanted, found)
    if entry is not None and entry.base_model is not None:
        base = find_architecture(entry.base_model)
        if base is not None:
            return KnownModel(wanted, base, assumption=f"{wanted} is built like {entry.base_model}")
    return KnownModel(wanted, None, _not_known(wanted, kind))


def named_model(name: str) -> KnownModel:
    """What is known of a model that a command line names."""
    return known_model(*classify_model(name))


def _entry(name: str, contract: Contract | None) -> Model | None:
    """The contract's entry for a name: its id, or the path it is served from."""
    if contract is None:
        return None
    plain = name.rstrip("/")
    for entry in contract.models:
        if entry.id.lower() == plain.lower() or (entry.path is not None and entry.path.rstrip("/") == plain):
            return entry
    return None


def _not_known(name: str, kind: ModelKind) -> str:
    if kind != "hub":
        return f"the model at {name} is not known: name it under `models` in the contract"
    import difflib

    near = difflib.get_close_matches(name, catalogue_ids(), n=1, cutoff=0.8)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"model {name} is not known{hint}: give its config.json with --model-config or in the contract"
