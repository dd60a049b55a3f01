"""Section model: whether the model that is named can be loaded at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from vllmlint.checks._hub import downloads_from_hub, keeping_mounts
from vllmlint.checks._purpose import is_trial
from vllmlint.facts.images import image_facts
from vllmlint.finding import Finding, Related
from vllmlint.manifest.nodes import Scalar
from vllmlint.serving.server import Server
from vllmlint.world import World

#: Commands of a start script that bring no files.
_IDLE = frozenset(
    {"echo", "export", "printf", "set", "sleep", "trap", "ulimit", "unset", "date", "env", "nvidia-smi"}
)
#: What huggingface_hub takes a token from (its environment variables; the second is the old name).
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH")
#: Mounts that hold no models.
_SYSTEM_MOUNTS = ("/dev/shm", "/tmp", "/var/run", "/run", "/etc")


def model_path_not_mounted(server: Server, world: World) -> Iterator[Finding]:
    """A directory that neither a volume nor vLLM's own image holds."""
    image, model = server.image, server.model
    if image is None or model.place is None or model.kind != "path" or not model.id.startswith("/"):
        return
    facts = image_facts(image.full_repository)
    if image.unresolved or facts is None or facts.release != "tag" or server.workload.carrier == "other":
        return
    if (
        server.container.mount_of(model.id) is not None
        or _may_hold(server, model.id)
        or _script_brings(server)
    ):
        return
    mounts = [mount for mount in server.container.mounts if not mount.path.startswith(_SYSTEM_MOUNTS)]
    mounted = f"; mounted are {', '.join(f'`{mount.path}`' for mount in mounts)}" if mounts else ""
    paths = [(mount.node.scalar("mountPath"), mount) for mount in mounts]
    yield Finding(
        model.place,
        f"`{model.id}` lies in no volume, and {image.full_repository} holds no models: vLLM takes the path"
        " for an id on the hub and stops with `Invalid repository ID or local directory specified`",
        f"Mount the volume that holds the model at `{PurePosixPath(model.id).parent}`, or correct"
        f" the path{mounted}.",
        "not mounted",
        # a mirror can hold more than the image whose name it bears
        confidence="medium" if image.registry else "high",
        assumptions=("the image is the official one",) if image.registry else (),
        related=tuple(
            Related(path.content, "holds another path") for path, _ in paths if isinstance(path, Scalar)
        ),
    )


def _may_hold(server: Server, path: str) -> bool:
    """Whether a mount below the path, or one whose place is not known, may bring the files."""
    return any(
        mount.path.startswith(path.rstrip("/") + "/") or "$" in mount.path
        for mount in server.container.mounts
    )


def _script_brings(server: Server) -> bool:
    """Whether commands before the server may put the files there."""
    script, serve = server.invocation.script, server.invocation.command
    if script is None or serve is None:
        return False
    before = [command for command in script.parsed.commands if command.start < serve.start]
    return any(PurePosixPath(command.words[0].text or "?").name not in _IDLE for command in before)


def dummy_weights_in_manifest(server: Server, world: World) -> Iterator[Finding]:
    """Random weights on a server that is no benchmark."""
    value = server.get("load_format")
    dummy = value.explicit and value.known and value.value == "dummy"
    if not dummy or value.place is None or is_trial(server, world):
        return
    yield Finding(
        value.place,
        "`--load-format dummy` fills the model with random numbers: the server passes every probe and "
        "answers every request, with nonsense",
        "Remove the flag; for a benchmark say so in the name or a label (bench, test), or silence the rule.",
        "random weights",
    )


def hf_token_missing_gated(server: Server, world: World) -> Iterator[Finding]:
    """A gated model of the hub, and no token to download it with."""
    model = server.model
    if not downloads_from_hub(server) or model.place is None or "HF_ENDPOINT" in server.env:
        return
    if _may_have_token(server) or _is_brought(server):
        return
    from vllmlint.models.catalogue import find_architecture

    known = find_architecture(model.id)
    if known is None or known.published.get("gated") is not True:
        return
    cached = bool(keeping_mounts(server))
    cache_note = ("the mounted cache does not hold it yet",) if cached else ()
    yield Finding(
        model.place,
        f"`{model.id}` is gated on the hub, and nothing gives the container a token: the download is refused "
        "(401), and vLLM stops with `Invalid repository ID or local directory specified`",
        "Accept the model's licence and add "
        "`env: [{name: HF_TOKEN, valueFrom: {secretKeyRef: {name: …, key: …}}}]`.",
        "needs a token",
        severity="warning" if cached else None,
        confidence="medium",
        assumptions=("the image does not hold the model", *cache_note),
    )


def _may_have_token(server: Server) -> bool:
    """Whether a token may reach the container: by name, or in an object whose keys are not known."""
    unseen = any(True for _ in server.container.node.mappings("envFrom"))
    return unseen or server.get("hf_token").explicit or any(name in server.env for name in _TOKENS)


def _is_brought(server: Server) -> bool:
    """Whether a script or an init container may bring the model, or log in."""
    init = any(container.role == "init" for container in server.workload.containers)
    return init or (server.invocation.script is not None and _script_brings(server))
