"""Section pinning: models, tokenizers, code and defaults that can change under the same manifest."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from vllmlint.contract.settings import Model
from vllmlint.finding import Edit, Finding, Fix, Related
from vllmlint.manifest.text import Place
from vllmlint.regex import regex
from vllmlint.serving.flag_tables import FlagSpec, FlagTable, flag_history, flag_table
from vllmlint.serving.model import classify_model
from vllmlint.serving.server import Server
from vllmlint.world import World

_COMMIT = regex(r"[0-9a-fA-F]{40}\Z")
_SHORT_COMMIT = regex(r"(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,39}\Z")
#: First parts of relative directories, which look like an organisation on the hub.
_DIRECTORIES = frozenset({"app", "checkpoints", "data", "mnt", "model", "models", "weights", "workspace"})
#: What huggingface_hub reads as true (huggingface_hub/constants.py).
_TRUE = frozenset({"1", "ON", "TRUE", "YES"})
#: What a default of None means, by setting; anything else vLLM works out at start.
_NONE_MEANS = {
    "max_model_len": "the model's own maximum",
    "revision": "the newest commit on the hub",
    "code_revision": "the newest commit on the hub",
    "tokenizer_revision": "the value of `--revision`",
    "tokenizer": "the model's",
    "served_model_name": "the model's id or path",
    "quantization": "what the model's config says",
    "api_key": "none",
}


def _is_true(server: Server, name: str) -> bool:
    """Whether a variable is switched on, in the container or in its script."""
    script = server.invocation.script
    variable = server.env.get(name)
    exported = script.parsed.variables.get(name) if script is not None else None
    value = exported or (variable.value if variable is not None else None)
    return value is not None and value.upper() in _TRUE


def _offline(server: Server) -> bool:
    """Whether the hub is never asked: files come from the cache as it is."""
    return _is_true(server, "HF_HUB_OFFLINE") or _is_true(server, "TRANSFORMERS_OFFLINE")


def _is_hub_id(text: str) -> bool:
    """Whether a model or tokenizer is `org/name` on the hub; a single word may be a directory."""
    model, kind = classify_model(text)
    return kind == "hub" and "/" in model and model.partition("/")[0] not in _DIRECTORIES


def _serves_from_hub(server: Server) -> bool:
    model = server.model
    named = model.kind == "hub" and model.source != "default" and _is_hub_id(model.id)
    return named and not _offline(server) and server.get("load_format").value != "dummy"


def _text(server: Server, name: str) -> str | None:
    """A setting that the manifest writes, when its text is known."""
    value = server.get(name)
    return (
        value.value
        if value.explicit and value.known and isinstance(value.value, str) and value.value
        else None
    )


def _is_absent(server: Server, name: str) -> bool:
    """Whether a setting is not given, as far as the manifest decides that."""
    return server.workload.carrier != "other" and server.arguments_known and not server.get(name).explicit


def _promised(server: Server, world: World) -> Model | None:
    """What the contract says of the served model."""
    return next(
        (model for model in world.contract(server.object).models if model.id == server.model.id), None
    )


def _lacks_revision(server: Server) -> bool:
    return _serves_from_hub(server) and _is_absent(server, "revision")


def _model_place(server: Server) -> Place:
    return server.model.place or server.anchor


def model_revision_unpinned(server: Server, world: World) -> Iterator[Finding]:
    """A hub model without a commit, or with another one than the contract's."""
    promised = _promised(server, world) if server.model.kind == "hub" else None
    commit = promised.revision if promised is not None else None
    revision = _text(server, "revision")
    if commit is not None and revision is not None and revision.lower() != commit.lower():
        place = server.get("revision").place or server.anchor
        yield Finding(
            place,
            f"the contract promises commit {commit} of {server.model.id}, but this server loads "
            f"`{revision}`: other weights than those that were tested",
            f"Write `--revision={commit}`, or change `models[].revision` in the contract with the manifests.",
            f"the contract says {commit[:12]}…",
            "error",
            related=(Related(_model_place(server), "this model"),),
            fix=Fix("serve the contract's commit", (Edit(place, commit),), safe=False),
        )
    elif _lacks_revision(server):
        demanded = world.contract(server.object).serving.require_explicit
        wanted = commit is not None or any(name.lstrip("-") == "revision" for name in demanded)
        written = "`--revision=<commit>` with all 40 characters"
        if commit is not None:
            written = f"`--revision={commit}`, the contract's commit"
        elif not _is_true(server, "VLLM_USE_MODELSCOPE"):
            written += f"; https://huggingface.co/{server.model.id}/commits/main lists them"
        yield Finding(
            _model_place(server),
            "no `--revision`: a restart loads whatever is newest on the hub, perhaps other weights, a "
            "config that no longer fits the GPU, or another chat template",
            f"Write {written}.",
            "no revision",
            "error" if wanted else None,
        )


def model_revision_mutable(server: Server, world: World) -> Iterator[Finding]:
    """A revision that is a branch, a tag or half a commit."""
    promised = _promised(server, world)
    for name in ("revision", "tokenizer_revision", "code_revision"):
        text, place = _text(server, name), server.get(name).place
        if (
            text is None
            or place is None
            or _COMMIT.match(text)
            or "$" in text
            or not _serves_from_hub(server)
        ):
            continue
        if name == "revision" and promised is not None and promised.revision is not None:
            continue  # the contract's commit is what to write: model-revision-unpinned says so
        if name == "tokenizer_revision" and not _is_hub_id(_text(server, "tokenizer") or server.model.id):
            continue
        flag = "--" + name.replace("_", "-")
        if _SHORT_COMMIT.match(text):
            yield Finding(
                place,
                f"`{text}` is {len(text)} characters of a commit, and the hub knows a commit by all 40: the "
                "server stops at start, because the revision is not found",
                f"Write all 40 characters after `{flag}`.",
                "half a commit",
                "error",
                "medium",
                ("no branch or tag has this name",),
            )
        else:
            yield Finding(
                place,
                f"`{text}` is a branch or a tag, and both move on the hub: a restart can load other files",
                f"Write the commit that `{text}` is now: `{flag}=<40 characters>`.",
                "can move",
            )


def tokenizer_unpinned(server: Server, world: World) -> Iterator[Finding]:
    """A tokenizer from another repository, whose revision is left to the model's."""
    tokenizer, value = _text(server, "tokenizer"), server.get("tokenizer")
    if tokenizer is None or value.place is None or not _is_hub_id(tokenizer) or _offline(server):
        return
    if tokenizer == server.model.id or not _is_absent(server, "tokenizer_revision"):
        return
    advice = f"Write `--tokenizer-revision=<commit>` with a commit of {tokenizer}."
    revision = _text(server, "revision")
    if revision is not None and _COMMIT.match(revision) and server.model.kind == "hub":
        yield Finding(
            value.place,
            f"without `--tokenizer-revision`, vLLM looks for the model's commit {revision[:12]}… in "
            f"{tokenizer} too: it is not there, and the server stops at start",
            advice,
            "has no such commit",
            "error",
            "medium",
            ("the two repositories share no history",),
            (Related(server.get("revision").place or server.anchor, "also taken for the tokenizer"),),
        )
    else:
        yield Finding(
            value.place,
            "the tokenizer comes from another repository than the model and no commit of it is named: when "
            f"{tokenizer} changes, token counts, stop tokens and the chat template change under the same "
            "weights",
            advice,
            "no tokenizer revision",
        )


def remote_code_unpinned(server: Server, world: World) -> Iterator[Finding]:
    """Python code from the hub that runs in the pod, at no fixed commit."""
    if not server.is_set("trust_remote_code") or not _serves_from_hub(server):
        return
    unpinned = None
    for name in ("code_revision", "revision"):
        value, text = server.get(name), _text(server, name)
        if (value.explicit and text is None) or (text is not None and _COMMIT.match(text)):
            return
        unpinned = unpinned or (value.place if text is not None else None)
    if unpinned is None and not _is_absent(server, "revision"):
        return
    promised = _promised(server, world)
    commit = promised.revision if promised is not None and promised.revision is not None else "<commit>"
    related = [Related(_model_place(server), "Python files of this repository run in the pod")]
    if unpinned is not None:
        related.append(Related(unpinned, "not a commit"))
    yield Finding(
        server.get("trust_remote_code").flag_place or server.anchor,
        f"whoever can push to {server.model.id} on the hub runs code in this pod at its next start: no"
        " commit is named",
        f"Add `--revision={commit}` (and `--code-revision` where the code lies in another repository), or "
        "drop the flag if vLLM knows the architecture.",
        "runs code that can change",
        related=tuple(related),
    )


def setting_left_to_default(server: Server, world: World) -> Iterator[Finding]:
    """Settings that the contract wants written, and that the manifest leaves out."""
    names = world.contract(server.object).serving.require_explicit
    if not names or server.workload.carrier == "other" or not server.arguments_known:
        return
    table = flag_table(server.release)
    missing, unknown = [], []
    for name in names:
        spec = table.get(name.lstrip("-"))
        if spec is None:
            if flag_history(name) is None:
                unknown.append(name)
        elif _is_left_out(server, spec.key):
            missing.append((spec, _default_words(spec)))
    if missing:
        assumed = " (assumed: the image does not tell)" if server.release_certainty == "assumed" else ""
        listed = ", ".join(f"`{spec.name}` ({words})" for spec, words in missing)
        yield Finding(
            server.anchor,
            "the contract wants these settings written, but they are left to the defaults of vLLM"
            f" {server.release}{assumed}: {listed}; another release can have others",
            f"Write {', '.join(f'`{spec.name}`' for spec, _ in missing)} with the values that were tested.",
            f"{len(missing)} setting{'s' if len(missing) > 1 else ''} left to a default",
        )
    if unknown:
        yield _unknown_names(server, unknown, table)


def _is_left_out(server: Server, key: str) -> bool:
    if key == "model":
        return server.model.source == "default"
    from_hub = server.model.kind == "hub"
    if key == "revision" and (not from_hub or _lacks_revision(server)):
        return False  # no revision of a directory; and model-revision-unpinned reports a hub model
    if key in {"code_revision", "tokenizer_revision"} and not from_hub:
        return False
    return not server.get(key).explicit


def _default_words(spec: FlagSpec) -> str:
    """The default of a setting, as the message names it."""
    if spec.default_dynamic or spec.default is None:
        return _NONE_MEANS.get(spec.key, "worked out at start")
    if isinstance(spec.default, bool):
        return "on" if spec.default else "off"
    return f"`{spec.default}`" if isinstance(spec.default, str) else str(spec.default)


def _unknown_names(server: Server, names: list[str], table: FlagTable) -> Finding:
    close = get_close_matches("--" + names[0].lstrip("-"), table.names, 1)
    advice = (
        f"Did you mean `{close[0][2:]}`?" if close else "Write vLLM's flag names without the dashes in front."
    )
    listed = ", ".join(f"`{name}`" for name in names)
    return Finding(
        server.anchor,
        f"`serving.requireExplicit` in the contract names {listed}, which no vLLM release has as a flag:"
        " nothing is checked",
        advice,
        "cannot be checked here",
        "warning",
    )
