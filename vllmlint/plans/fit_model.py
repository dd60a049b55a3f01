"""Which model a server holds, as `vllmlint.models.lookup` finds it, in the terms of a plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.lookup import NOTHING_OUTSIDE, Outside, UnknownModel, find_model
from vllmlint.record import record
from vllmlint.severity import Confidence

if TYPE_CHECKING:
    from vllmlint.models.lookup import DeclaredModel
    from vllmlint.serving.server import Server
    from vllmlint.world import World


@record
class KnownModel:
    """What was found of a model: `problem` says why there is no architecture, `assumptions` what was taken
    for granted, `confidence` how sure its fields are."""

    id: str
    architecture: ModelArchitecture | None
    problem: str = ""
    assumptions: tuple[str, ...] = ()
    confidence: Confidence = "high"


def known_model(
    reference: str,
    *,
    revision: str | None = None,
    declared: Iterable[DeclaredModel] = (),
    outside: Outside = NOTHING_OUTSIDE,
) -> KnownModel:
    """What is known of a model as it is written on a command line."""
    found = find_model(reference, revision=revision, declared=declared, outside=outside)
    if isinstance(found, UnknownModel):
        hint = f" (did you mean {found.suggestion}?)" if found.suggestion else ""
        return KnownModel(reference, None, f"{found.reason}{hint}")
    return KnownModel(found.id, found.architecture, "", found.assumptions, found.confidence)


def model_of_server(server: Server, world: World, name: str | None = None) -> KnownModel:
    """The model of a server, looked up once; `name` wins over what the manifest says."""
    if name is not None:
        return _model_of(server, world, name)
    found: KnownModel | None = server.memo.get("known model")
    if found is None:
        found = server.memo["known model"] = _model_of(server, world, None)
    return found


def _model_of(server: Server, world: World, name: str | None) -> KnownModel:
    path = server.object.file.path
    outside = world.models_outside(path) if world.models_outside is not None else NOTHING_OUTSIDE
    declared = world.contract(server.object).models
    if name is not None:
        return known_model(name, declared=declared, outside=outside)
    if server.model.kind == "unknown":
        return KnownModel(server.model.id, None, "the manifest does not tell the model")
    revision = server.get("revision")
    told = revision.value if revision.known and isinstance(revision.value, str) else None
    return known_model(server.model.id, revision=told, declared=declared, outside=outside)
