"""Which model a reference means, and how sure that is.

Nothing is read here: what lies outside (files, the hub cache, the hub) comes in through `Outside`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from vllmlint.facts.model_aliases import ModelAlias, model_aliases
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import catalogue_ids, find_architecture
from vllmlint.models.config_files import ModelFiles
from vllmlint.models.reference import ModelName, is_commit, read_reference, same_commit
from vllmlint.record import record
from vllmlint.severity import CONFIDENCE_RANK, Confidence

#: How sure the fields of a row are, by how they came into the catalogue (README of the research table).
_CONFIDENCE: dict[str, Confidence] = {
    "given": "high",
    "config": "high",
    "derived": "medium",
    "class-default": "medium",
}
#: What bitsandbytes writes for 4 bit (unsloth's copies; BitsAndBytesConfig of transformers).
_NF4 = {
    "quant_method": "bitsandbytes",
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
}


class DeclaredModel(Protocol):
    """A model of the contract (`models:` of vllmlint.yaml)."""

    @property
    def id(self) -> str: ...

    @property
    def revision(self) -> str | None: ...

    @property
    def path(self) -> str | None: ...

    @property
    def config(self) -> str | None: ...

    @property
    def base_model(self) -> str | None: ...


def _no_files(*_: object) -> ModelFiles | None:
    return None


@record
class Outside:
    """What lies outside and how it is read; every reader answers None where there is nothing.

    `given` are the files that the user named for this run. `declared` reads what a model of the contract
    names as its `config`. `beside` reads a directory of the model's name beside the manifest, `loose` a
    bare config.json there. `cached` and `online` take a hub id and a revision, and read the files of that
    revision. A text instead of files says why there are none.
    """

    given: ModelFiles | None = None
    declared: Callable[[DeclaredModel], ModelFiles | str | None] = _no_files
    beside: Callable[[str], ModelFiles | None] = _no_files
    loose: Callable[[], ModelFiles | None] = _no_files
    cached: Callable[[str, str | None], ModelFiles | None] = _no_files
    online: Callable[[str, str | None], ModelFiles | str | None] = _no_files


NOTHING_OUTSIDE = Outside()


@record
class ModelFacts:
    """A model that was found: `confidence` in its fields, `assumptions` in sentences, `declared` the entry of
    the contract that names it."""

    reference: str
    architecture: ModelArchitecture
    confidence: Confidence
    assumptions: tuple[str, ...] = ()
    declared: DeclaredModel | None = None

    @property
    def id(self) -> str:
        """The hub id, or the name that a private model goes by."""
        return self.architecture.id

    @property
    def source(self) -> str:
        """Where the fields are from."""
        return self.architecture.source

    @property
    def checkpoint_bytes(self) -> int | None:
        """Size of the weight files: the index's, else the published one (rounded to 1e6 bytes)."""
        exact = self.architecture.published.get("checkpoint_bytes")
        if isinstance(exact, int):
            return exact
        published = self.architecture.published.get("checkpoint_gb")
        return round(published * 1e9) if isinstance(published, int | float) else None


@record
class UnknownModel:
    """A model about which nothing is known: why, and the catalogue's nearest name."""

    reference: str
    reason: str
    suggestion: str | None = None


def find_model(
    reference: str,
    *,
    revision: str | None = None,
    declared: Iterable[DeclaredModel] = (),
    outside: Outside = NOTHING_OUTSIDE,
) -> ModelFacts | UnknownModel:
    """What is known of a model that a server names (`reference` as written, `revision` of `--revision`).

    In this order: files given for the run, the contract's `config`, files beside the manifest, the local hub
    cache, the catalogue where it is sure of that id, the hub (where the caller lets it be read), the
    catalogue where it is less sure, the contract's `baseModel`, renamed organisations and copies, a bare
    config.json beside the manifest and, with low confidence, a path that ends in a model's name. A config
    that cannot be used makes the model unknown, with the key at fault: no other source speaks for it.
    """
    name = read_reference(reference)
    entry = _declared(name, declared)
    hub_id = entry.id if entry is not None else name.id if name.kind == "hub" else ""
    wanted = revision or name.revision or (entry.revision if entry is not None else None)
    files = _own_files(name, entry, hub_id, wanted, outside)
    if isinstance(files, ModelFiles):
        return _from_files(reference, files, hub_id or name.id, entry)
    if entry is not None and entry.config:
        why = f": {files}" if files else ""
        reason = f"the contract's config of {entry.id}, {entry.config}, was not read{why}"
        return UnknownModel(reference, reason)
    known = _from_catalogue(reference, _Candidate(hub_id), wanted, entry)
    if known is not None and known.confidence == "high":
        return known
    asked = outside.online(hub_id, wanted) if "/" in hub_id else None
    if isinstance(asked, ModelFiles):
        return _from_files(reference, asked, hub_id, entry)
    for candidate in _candidates(name, entry, hub_id):
        if (facts := _from_catalogue(reference, candidate, wanted, entry)) is not None:
            return facts
    if (loose := outside.loose()) is not None:
        note = f"{loose.source} is taken for the served model's"
        return _from_files(reference, loose, hub_id or name.id, entry, "medium", note)
    return _by_name_alone(name, reference) or _unknown(name, reference, hub_id, asked or "")


@record
class _Candidate:
    """An id to look up in the catalogue, the confidence it allows and why it stands for the model."""

    id: str
    at_most: Confidence = "high"
    note: str = ""
    nf4: bool = False
    own: bool = True


def _declared(name: ModelName, declared: Iterable[DeclaredModel]) -> DeclaredModel | None:
    """The contract's entry for a path or an id; a path comes first."""
    entries = list(declared)
    here = name.text.strip().rstrip("/")
    for entry in entries:
        if entry.path and entry.path.rstrip("/") == here:
            return entry
    for entry in entries:
        if entry.id.lower() in (name.id.lower(), here.lower()):
            return entry
    return None


def _own_files(
    name: ModelName, entry: DeclaredModel | None, hub_id: str, revision: str | None, outside: Outside
) -> ModelFiles | str | None:
    """The first files that are certainly this model's own, or why there are none."""
    if outside.given is not None:
        return outside.given
    if entry is not None and entry.config:
        return outside.declared(entry)
    if (files := outside.beside(hub_id or name.id)) is not None:
        return files
    return outside.cached(hub_id, revision) if "/" in hub_id else None


def _candidates(name: ModelName, entry: DeclaredModel | None, hub_id: str) -> Iterator[_Candidate]:
    if hub_id:
        yield _Candidate(hub_id)
        yield from (_of_alias(hub_id, alias) for alias in model_aliases(hub_id))
    if entry is not None and entry.base_model:
        base = read_reference(entry.base_model).id
        note = f"{entry.id} is taken to have the architecture and number formats of {base} (baseModel)"
        yield _Candidate(base, note=note, own=False)
        for alias in model_aliases(base):
            alike = _of_alias(base, alias)
            yield _Candidate(alike.id, alike.at_most, f"{note}; {alike.note}", alike.nf4, own=False)


def _of_alias(model_id: str, alias: ModelAlias) -> _Candidate:
    if alias.kind == "renamed":
        return _Candidate(alias.model, note=f"{model_id} is {alias.model} under its former name")
    if alias.kind == "copy":
        note = f"{model_id} is taken for a copy of {alias.model} ({alias.source})"
        return _Candidate(alias.model, "medium", note)
    note = (
        f"{model_id} is taken for {alias.model} in 4 bit ({alias.source}); "
        "which layers are left as they are is not known"
    )
    return _Candidate(alias.model, "low", note, nf4=True)


def _from_catalogue(
    reference: str, candidate: _Candidate, revision: str | None, entry: DeclaredModel | None
) -> ModelFacts | None:
    found = find_architecture(candidate.id)
    if found is None:
        return None
    notes = [candidate.note] if candidate.note else []
    confidence = at_most(_CONFIDENCE[found.confidence], candidate.at_most)
    if found.confidence != "config":
        how = (
            "worked out from related models or tables" if found.confidence == "derived" else "class defaults"
        )
        notes.append(f"the fields of {found.id} are {how}, its config.json was not read")
    if found.published.get("partial"):
        confidence = "low"
        notes.append(f"the catalogue lacks some fields of {found.id}")
    if candidate.own and not candidate.nf4 and revision and (note := _other_revision(found, revision)):
        confidence = lower(confidence)
        notes.append(note)
    if candidate.nf4:
        fields = {**found.fields, "quantization_config": _NF4}
        found = found.with_fields(fields, model_id=reference)
    return ModelFacts(reference, found, confidence, tuple(notes), entry)


def _other_revision(found: ModelArchitecture, revision: str) -> str:
    """Why another revision than the one that was read may have other fields; empty where it is the same or
    the catalogue does not know which one was read."""
    known = found.published.get("revision")
    if (
        not isinstance(known, str)
        or revision == "main"
        or (is_commit(revision) and same_commit(known, revision))
    ):
        return ""
    return f"the catalogue knows {found.id} at {known[:12]}, not at {revision[:12]}"


def _from_files(
    reference: str,
    files: ModelFiles,
    model_id: str,
    entry: DeclaredModel | None,
    confidence: Confidence = "high",
    note: str = "",
) -> ModelFacts | UnknownModel:
    from vllmlint.models.config_json import ConfigError, architecture_from_files

    try:
        found = architecture_from_files(files, model_id)
    except ConfigError as error:
        return UnknownModel(reference, str(error))
    return ModelFacts(reference, found, confidence, (note,) if note else (), entry)


def _by_name_alone(name: ModelName, reference: str) -> ModelFacts | None:
    """A path or URL that ends in `org/name`, or in a name that only one organisation has."""
    if name.kind not in ("path", "url") or not name.tail:
        return None
    both = "/".join(name.tail)
    note = f"{reference} is taken to hold {{}} by its name"
    if len(name.tail) == 2 and (found := find_architecture(both)) is not None:
        return _from_catalogue(reference, _Candidate(found.id, "medium", note.format(found.id)), None, None)
    last = name.tail[-1].lower()
    alike = [each for each in catalogue_ids() if each.partition("/")[2].lower() == last]
    if len(alike) != 1:
        return None
    return _from_catalogue(reference, _Candidate(alike[0], "low", note.format(alike[0])), None, None)


def _unknown(name: ModelName, reference: str, hub_id: str, refusal: str) -> UnknownModel:
    if name.kind == "unknown":
        return UnknownModel(reference, "the manifest does not tell which model it is")
    if hub_id:
        known = f"{hub_id} is not among the {len(catalogue_ids())} models that vllmlint knows"
        reason = f"{known}; {refusal}" if refusal else known
        return UnknownModel(reference, reason, nearest_id(hub_id))
    what = "a directory in the container" if name.kind == "path" else "not a repository of the hub"
    return UnknownModel(reference, f"{reference} is {what}: the contract does not say which model lies there")


def nearest_id(model_id: str) -> str | None:
    """The catalogue's id that looks most like this one; None where none does. A model of the same name
    comes first, then a slip of the pen, then one that this name begins with (`…-AWQ-4bit` of somebody else),
    then one that is like it."""
    by_lower = {each.lower(): each for each in catalogue_ids()}
    wanted = model_id.lower()
    own_name = wanted.rpartition("/")[2]
    names: dict[str, str] = {}
    for lowered in by_lower:
        names.setdefault(lowered.partition("/")[2], lowered)
    if own_name in names:
        return by_lower[names[own_name]]
    slip = _most_like(wanted, by_lower, 0.9)
    # a slip of the pen leaves the numbers alone: 14b is not 32b
    if slip and re.sub(r"\D", "", slip) == re.sub(r"\D", "", wanted):
        return by_lower[slip]
    # half of the name: what a family is called is no model of it
    begun = [
        name
        for name in names
        if own_name.startswith((f"{name}-", f"{name}.")) and len(name) * 2 > len(own_name)
    ]
    if begun:
        return by_lower[names[max(begun, key=len)]]
    # 0.75: a variant of a name, not just any model of the same family
    return by_lower.get(_most_like(wanted, by_lower, 0.75) or names.get(_most_like(wanted, names, 0.75), ""))


def _most_like(wanted: str, known: Iterable[str], cutoff: float) -> str:
    """The text that is most like another one; empty where none is like it enough (0 to 1)."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(wanted, known, n=1, cutoff=cutoff)), "")


def lower(confidence: Confidence) -> Confidence:
    """One step less sure."""
    return "medium" if confidence == "high" else "low"


def at_most(one: Confidence, other: Confidence) -> Confidence:
    """The lesser of two."""
    return min(one, other, key=CONFIDENCE_RANK.__getitem__)
