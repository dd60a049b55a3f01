"""Section pinning: images, models, tokenizers and defaults that can change under the same manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import NamedTuple

from vllmlint.checks.pinning_placeholders import is_placeholder_image
from vllmlint.contract.settings import Model
from vllmlint.facts.images import image_facts
from vllmlint.finding import Confidence, Edit, Finding, Fix, Related, Severity
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Scalar
from vllmlint.manifest.text import Place
from vllmlint.serving.flag_tables import FlagSpec, FlagTable, flag_history, flag_table
from vllmlint.serving.image import ImageReference
from vllmlint.serving.model import classify_model
from vllmlint.serving.server import Server
from vllmlint.world import World

#: Names of channels: whoever publishes them moves them by design.
_CHANNEL = re.compile(
    r"(?:.*[-_.])?(?P<word>latest|stable|nightly|main|master|trunk|tip|head|edge|dev|devel|develop|canary|rolling"
    r"|snapshot|unstable)(?:[-_.].*)?\Z",
    re.IGNORECASE,
)
_VERSION = re.compile(r"(?:^|[-_+])v?\d+\.\d+\.\d+", re.IGNORECASE)
#: A date or a commit: such a tag is pushed once.
_STAMP = re.compile(
    r"(?:^|[-_.+])(?:g|sha)?(?:20\d{6}|20\d\d[-_.]\d\d[-_.]\d\d|(?=[a-f]*\d)[0-9a-f]{7,40})(?=$|[-_.+])", re.IGNORECASE
)
#: A build number beside a channel's name: `main-1234`, `dev_b12`.
_BUILD = re.compile(r"(?:^|[-_.])(?:v|b|r|build|ci)?\d{2,}(?=$|[-_.])", re.IGNORECASE)
#: Parts of a tag that name a platform, not a build.
_PLATFORM = re.compile(
    r"(?<![a-z0-9])(?:x86[-_]?64|amd64|arm64|aarch64|(?:cu|cuda|rocm|py|python|ubuntu|ubi|torch|pytorch)[-_]?\d+(?:\.\d+)*)"
    r"(?![a-z0-9])",
    re.IGNORECASE,
)
_BARE_VERSION = re.compile(r"v?0(?:\.\d+)?\Z")
_COMMIT = re.compile(r"[0-9a-fA-F]{40}\Z")
_SHORT_COMMIT = re.compile(r"(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,39}\Z")
#: Nightly builds that vLLM keeps on Docker Hub (.buildkite/scripts/cleanup-nightly-builds.sh).
_NIGHTLIES_KEPT = 14
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


class _Motion(NamedTuple):
    """Why a tag does not hold still."""

    reason: str
    label: str
    severity: Severity | None = None
    confidence: Confidence = "high"


def _motion(image: ImageReference, server: Server) -> _Motion | None:
    """How the image can change under the same reference; None for one that stays, or that is a placeholder."""
    if image.unresolved or image.digest or is_placeholder_image(image.reference):
        return None
    if not image.tag:
        # kustomize and kind set the tag of an image that is written as one bare word
        bare = "/" not in image.reference
        return _Motion("the image has no tag, so it means `latest`", "no tag", None, "low" if bare else "high")
    tag, facts = image.tag, image_facts(image.full_repository)
    channel, stamped = _CHANNEL.match(tag), _STAMP.search(tag) is not None
    official = facts is not None and facts.release == "tag"
    if channel is not None and not stamped:
        word = channel["word"].lower()
        if _VERSION.search(tag):
            return (
                _Motion(f"the tag `{tag}` is built anew", "built anew", "warning", "medium")
                if word in {"latest", "nightly"}
                else None
            )
        numbered = word != "latest" and _BUILD.search(_PLATFORM.sub("", tag)) is not None
        return None if numbered else _Motion(f"the tag `{tag}` moves", "moves")
    if server.release_certainty == "contract":
        return None
    if facts is not None and facts.release in {"tag", "leading"} and _BARE_VERSION.match(tag):
        reason = f"the tag `{tag}` names no full release and moves with every patch"
        return _Motion(reason, "moves with every patch", "warning", "medium")
    numbered = stamped or any(char.isdigit() for char in _PLATFORM.sub("", tag))
    if not numbered or (official and not stamped and not _VERSION.search(tag)):
        reason = f"the tag `{tag}` names no release, and nothing keeps it from being pushed again"
        return _Motion(reason, "names no release", "warning", "medium")
    return None


def image_tag_floating(server: Server, world: World) -> Iterator[Finding]:
    """An image whose tag moves or goes away, or that has none, and no digest."""
    image = server.image
    if image is None or world.contract(server.object).images.pin == "any":
        return
    release = "v0.33.0" if server.release_certainty == "assumed" else f"v{server.release}"
    advice = f"Write the release and, better, its digest: `image: {image.full_repository}:{release}@sha256:…`."
    facts = image_facts(image.full_repository)
    if facts is not None and facts.release != "tag":
        advice = f"Write a tag that is pushed once and, better, its digest: `image: {image.full_repository}:…@sha256:…`."
    motion = _motion(image, server)
    if motion is not None:
        yield Finding(
            image.tag_place,
            f"{motion.reason}: the next restart can pull another vLLM, which may refuse these flags or need a newer driver",
            advice,
            motion.label,
            motion.severity,
            motion.confidence,
            ("no kustomization sets the tag of this image",) if motion.confidence == "low" else (),
        )
    elif not image.digest and image.full_repository == "vllm/vllm-openai" and image.tag.startswith("nightly-"):
        yield Finding(
            image.tag_place,
            f"vLLM keeps its last {_NIGHTLIES_KEPT} nightly builds on Docker Hub: after about two weeks no new node can pull"
            f" `{image.tag}`",
            "Write a release, or copy this build into a registry of your own.",
            "is deleted after two weeks",
            "warning",
            "medium",
        )


def image_not_digest_pinned(server: Server, world: World) -> Iterator[Finding]:
    """A tag that stands still, without the digest that proves it."""
    image, pin = server.image, world.contract(server.object).images.pin
    if image is None or pin == "any" or not image.tag or image.unresolved or image.digest:
        return
    if _motion(image, server) is not None or is_placeholder_image(image.reference):
        return
    if pin != "digest" and not _VERSION.search(image.tag):
        return
    consequence = "a tag can be pushed again, and then two pods of one manifest run different vLLMs"
    demand = "the contract wants every image pinned by digest (`images.pin`), and " if pin == "digest" else ""
    yield Finding(
        image.tag_place,
        f"{demand}`{image.tag}` is pinned by tag only: {consequence}",
        f"Append the digest that your registry shows for it: `image: {image.reference}@sha256:…`.",
        "no digest",
        "error" if pin == "digest" else None,
    )


def image_pull_policy_mixed_versions(server: Server, world: World) -> Iterator[Finding]:
    """Several pods of a tag that moves, where each node keeps what it pulled first."""
    image = server.image
    motion = _motion(image, server) if image is not None else None
    pods = _pods(server.workload, world)
    if image is None or motion is None or pods is None:
        return
    policy = server.container.node.scalar("imagePullPolicy")
    name = policy.text if policy is not None else "Always" if image.tag in {"", "latest"} else "IfNotPresent"
    if name == "Always":
        return
    default = "" if policy is not None else ", the default for this tag"
    yield Finding(
        policy.content if policy is not None else image.tag_place,
        f"with `imagePullPolicy: {name}`{default}, each node keeps the build of `{image.tag or 'latest'}` that it pulled"
        f" first: {pods} of this {server.workload.kind} can run different vLLMs behind one Service",
        "Write a release or a digest; `imagePullPolicy: Always` only makes every start pull what is new that day.",
        "each node keeps its own build",
        confidence=motion.confidence,
        related=(Related(image.tag_place, "this tag moves"),) if policy is not None else (),
    )


def _pods(workload: Workload, world: World) -> str | None:
    """How many pods there can be, in words; None when it is one, or not said."""
    if workload.kind == "DaemonSet" and workload.carrier == "plain":
        return "the pods"
    replicas = workload.replicas
    if replicas is not None and replicas > 1:
        return f"the {replicas} replicas"
    for kind, target, most in (
        ("HorizontalPodAutoscaler", "scaleTargetRef", "maxReplicas"),
        ("ScaledObject", "scaleTargetRef", "maxReplicaCount"),
    ):
        for scaler in world.index.nearby(kind, workload.object):
            aimed = scaler.node.string("spec", target, "kind") or "Deployment"
            named = scaler.node.string("spec", target, "name")
            limit = scaler.node.integer("spec", most)
            if (aimed, named) == (workload.kind, workload.object.name) and limit is not None and limit > 1:
                return f"the up to {limit} replicas"
    return None


def _offline(server: Server) -> bool:
    """Whether the hub is never asked: files come from the cache as it is."""
    script = server.invocation.script
    exported = script.parsed.variables if script is not None else {}
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        variable = server.env.get(name)
        value = exported.get(name) or (variable.value if variable is not None else None)
        if value is not None and value.upper() in _TRUE:
            return True
    return False


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
    return value.value if value.explicit and value.known and isinstance(value.value, str) and value.value else None


def _is_absent(server: Server, name: str) -> bool:
    """Whether a setting is not given, as far as the manifest decides that."""
    return server.workload.carrier != "other" and server.arguments_known and not server.get(name).explicit


def _promised(server: Server, world: World) -> Model | None:
    """What the contract says of the served model."""
    return next((model for model in world.contract(server.object).models if model.id == server.model.id), None)


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
            f"the contract promises commit {commit} of {server.model.id}, but this server loads `{revision}`: other weights"
            " than those that were tested",
            f"Write `--revision={commit}`, or change `models[].revision` in the contract with the manifests.",
            f"the contract says {commit[:12]}…",
            "error",
            related=(Related(_model_place(server), "this model"),),
            fix=Fix("serve the contract's commit", (Edit(place, commit),), safe=False),
        )
    elif _lacks_revision(server):
        wanted = commit is not None or "revision" in world.contract(server.object).serving.require_explicit
        written = (
            f"`--revision={commit}`, the contract's commit"
            if commit is not None
            else f"`--revision=<commit>` with the 40 characters from https://huggingface.co/{server.model.id}/commits/main"
        )
        yield Finding(
            _model_place(server),
            "no `--revision`: a restart loads whatever is newest on the hub, perhaps other weights, a config that no longer"
            " fits the GPU, or another chat template",
            f"Write {written}.",
            "no revision",
            "error" if wanted else None,
        )


def model_revision_mutable(server: Server, world: World) -> Iterator[Finding]:
    """A revision that is a branch, a tag or half a commit."""
    promised = _promised(server, world)
    for name in ("revision", "tokenizer_revision", "code_revision"):
        text, place = _text(server, name), server.get(name).place
        if text is None or place is None or _COMMIT.match(text) or "$" in text or not _serves_from_hub(server):
            continue
        if name == "revision" and promised is not None and promised.revision is not None:
            continue  # the contract's commit is what to write: model-revision-unpinned says so
        if name == "tokenizer_revision" and not _is_hub_id(_text(server, "tokenizer") or server.model.id):
            continue
        flag = "--" + name.replace("_", "-")
        if _SHORT_COMMIT.match(text):
            yield Finding(
                place,
                f"`{text}` is {len(text)} characters of a commit, and the hub knows a commit by all 40: the server stops"
                " at start, because the revision is not found",
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
            f"without `--tokenizer-revision`, vLLM looks for the model's commit {revision[:12]}… in {tokenizer} too: it is not"
            " there, and the server stops at start",
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
            f"the tokenizer comes from another repository than the model and no commit of it is named: when {tokenizer}"
            " changes, token counts, stop tokens and the chat template change under the same weights",
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
    related = [Related(_model_place(server), "its Python files run in the pod")]
    if unpinned is not None:
        related.append(Related(unpinned, "not a commit"))
    yield Finding(
        server.get("trust_remote_code").flag_place or server.anchor,
        f"whoever can push to {server.model.id} on the hub runs code in this pod at its next start: no commit is named",
        f"Add `--revision={commit}` (and `--code-revision` where the code lies in another repository), or drop the flag if"
        " vLLM knows the architecture.",
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
            missing.append((spec, _default_words(spec, server)))
    if missing:
        known = "vLLM" if server.release_certainty == "assumed" else f"vLLM {server.release}"
        listed = ", ".join(f"`{spec.name}` ({words})" for spec, words in missing)
        yield Finding(
            server.anchor,
            f"left to the defaults of {known}: {listed}; the contract wants them written, because another release can have"
            " other defaults",
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


def _default_words(spec: FlagSpec, server: Server) -> str:
    if spec.default_dynamic or spec.default is None:
        return _NONE_MEANS.get(spec.key, "worked out at start")
    if isinstance(spec.default, bool):
        return "on" if spec.default else "off"
    return f"`{spec.default}`" if isinstance(spec.default, str) else str(spec.default)


def _unknown_names(server: Server, names: list[str], table: FlagTable) -> Finding:
    close = get_close_matches("--" + names[0].lstrip("-"), table.names, 1)
    advice = f"Did you mean `{close[0][2:]}`?" if close else "Write vLLM's flag names without the dashes in front."
    listed = ", ".join(f"`{name}`" for name in names)
    return Finding(
        server.anchor,
        f"`serving.requireExplicit` in the contract names {listed}, which no vLLM release has as a flag: nothing is checked",
        advice,
        "cannot be checked here",
        "warning",
    )
