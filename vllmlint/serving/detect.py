"""Which containers are vLLM servers: not clients, routers, sidecars, helpers or other engines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import partial

from vllmlint.facts.accelerators import accelerator_of
from vllmlint.facts.images import ImageFacts, image_facts
from vllmlint.kube.env import ConfigMapLookup, EnvVar, is_complete, read_env
from vllmlint.kube.mounted import mounted_file
from vllmlint.kube.pods import Container
from vllmlint.record import record
from vllmlint.serving.command import (
    CommandLine,
    EntryPoint,
    Invocation,
    explicit_invocation,
    read_command,
)
from vllmlint.serving.image import ImageReference, parse_image
from vllmlint.serving.release import Release, known_releases
from vllmlint.serving.server import ReleaseCertainty, Server
from vllmlint.serving.words import unknown_word
from vllmlint.serving.wrappers.wrapper import Engine, Wrapper, wrapper_of

#: From this release on the official image's entrypoint is `vllm serve` (vllm-command-line.md, section 1).
_SERVE_ENTRYPOINT_SINCE = "0.11.1"
#: Programs that an image's arguments may name instead of the server's own arguments.
_PROGRAMS = frozenset(
    {
        "sh",
        "bash",
        "python",
        "python3",
        "sleep",
        "tail",
        "ray",
        "tini",
        "env",
        "exec",
        "echo",
        "bench",
        "torchrun",
    }
)
#: How the flags begin that name what is served.
_MODEL_FLAGS = ("--model", "--served-model", "--served_model")
#: Flags that together with `--model` no other engine has: enough to know vLLM behind any image.
_TELLING_FLAGS = (
    "--tensor-parallel-size",
    "--gpu-memory-utilization",
    "--max-model-len",
    "--max-num-seqs",
    "--max-num-batched-tokens",
    "--enable-chunked-prefill",
    "--enable-prefix-caching",
    "--kv-cache-dtype",
    "--kv-transfer-config",
    "--swap-space",
)


@record
class ImageRule:
    """What the contract says of images that match: their vLLM release and what their entrypoint starts."""

    match: str
    release: Release
    entrypoint: EntryPoint | None


@record
class ImagePolicy:
    """What the contract says of images: `release` for those whose tag names none."""

    release: Release | None = None
    rules: tuple[ImageRule, ...] = ()

    def rule_for(self, reference: str) -> ImageRule | None:
        """The first rule whose pattern matches the reference."""
        return next((rule for rule in self.rules if fnmatchcase(reference, rule.match)), None)


@record
class _Candidate:
    """A container with what is known of its image and its command line."""

    container: Container
    image: ImageReference | None
    facts: ImageFacts | None
    rule: ImageRule | None
    env: Mapping[str, EnvVar]
    line: CommandLine
    release: Release
    wrapper: Wrapper | None


def find_server(container: Container, policy: ImagePolicy, config_map: ConfigMapLookup) -> Server | None:
    """The vLLM server a container is, or the simulator of one; None for everything else."""
    if container.role == "init":
        return None
    image = parse_image(container.image) if container.image is not None else None
    facts = image_facts(image.full_repository) if image is not None else None
    rule = policy.rule_for(image.reference) if image is not None else None
    if facts is not None and facts.role == "other" and rule is None:
        return None
    wrapper = wrapper_of(container.workload)
    engine = _stated_engine(container, wrapper)
    if facts is None and rule is None and engine is None and not _speaks_of_vllm(container):
        return None
    env = read_env(container.node, config_map)
    mounted = partial(mounted_file, container, config_map=config_map)
    line = read_command(
        container,
        env,
        env_complete=is_complete(container.node, config_map),
        mounted=mounted,
        resolve=wrapper.resolve if wrapper is not None else None,
    )
    release, certainty = _release_of(image, facts, rule, policy)
    candidate = _Candidate(container, image, facts, rule, env, line, release, wrapper)
    if engine is not None and (facts is None or facts.role != "simulator"):
        invocation: Invocation | None = _stated_invocation(engine, candidate)
    else:
        invocation = (
            explicit_invocation(line) or _implied_invocation(candidate) or _opaque_invocation(candidate)
        )
    if invocation is None:
        return None
    simulated = facts is not None and facts.role == "simulator"
    return Server(
        container, image, invocation, line, env, release, certainty, mounted=mounted, is_simulator=simulated
    )


def _stated_engine(container: Container, wrapper: Wrapper | None) -> Engine | None:
    """The engine of a container whose kind says that it runs vLLM, unless it starts something of its own."""
    engine = wrapper.engine if wrapper is not None else None
    named = engine is not None and engine.container == container.name and container.role == "main"
    return engine if named and not container.command else None


def _stated_invocation(engine: Engine, candidate: _Candidate) -> Invocation:
    entrypoint = engine.entrypoint or entrypoint_of(candidate.release, candidate.rule)
    words = (*engine.words, *candidate.line.argv)
    return Invocation(entrypoint, words, (), sources=engine.sources, serves_http=engine.serves_http)


def _runs_own_entrypoint(candidate: _Candidate) -> bool:
    """Whether what the image itself starts can run: the controller puts no command in front."""
    return candidate.wrapper is None or candidate.wrapper.keeps_entrypoint


def _speaks_of_vllm(container: Container) -> bool:
    """Cheap test before anything is parsed: most containers of a cluster have nothing to do with vLLM."""
    words = (*(container.command or ()), *(container.args or ()))
    return any(
        "vllm" in word.text or word.text.startswith(_MODEL_FLAGS) or word.text.endswith(".sh")
        for word in words
    )


def _release_of(
    image: ImageReference | None, facts: ImageFacts | None, rule: ImageRule | None, policy: ImagePolicy
) -> tuple[Release, ReleaseCertainty]:
    if rule is not None:
        return rule.release, "contract"
    if image is not None and facts is not None and facts.release is not None and not image.unresolved:
        release = _release_in_tag(image.tag, facts.release)
        # vLLM's releases run from 0.1 and have no major number yet: 1.22.0 or 0.0.19 count something else
        if release is not None and release.key[0] == 0 and release.key[1] > 0:
            return release, facts.certainty
    if policy.release is not None:
        return policy.release, "contract"
    return known_releases()[-1], "assumed"


def _release_in_tag(tag: str, how: str) -> Release | None:
    if how in {"tag", "leading"}:
        return Release.parse(tag.partition("_")[0] if how == "leading" else tag)
    match = re.search(how, tag)
    return Release.parse(match.group(1)) if match is not None else None


def _implied_invocation(candidate: _Candidate) -> Invocation | None:
    """The server that the image's entrypoint starts with the container's `args`."""
    line, facts, rule = candidate.line, candidate.facts, candidate.rule
    if line.has_command or line.script is not None or candidate.image is None:
        return None
    if not _runs_own_entrypoint(candidate):
        return None
    first = line.argv[0].text if line.argv else None
    if first is not None and not _may_be_server_argument(first):
        return None
    official = rule is not None or (facts is not None and facts.entrypoint == "official")
    if not official and not _arguments_tell(line, facts):
        return None
    return Invocation(entrypoint_of(candidate.release, rule), line.argv, (), implied=True)


def entrypoint_of(release: Release, rule: ImageRule | None = None) -> EntryPoint:
    """What the official image of a release starts, unless the contract says otherwise."""
    if rule is not None and rule.entrypoint is not None:
        return rule.entrypoint
    return "serve" if release.at_least(_SERVE_ENTRYPOINT_SINCE) else "module"


def _may_be_server_argument(word: str) -> bool:
    """Whether a first argument is a flag or a model, not a program of its own."""
    return word.startswith("-") or (not word.startswith(("/bin/", "/usr/")) and word not in _PROGRAMS)


def _arguments_tell(line: CommandLine, facts: ImageFacts | None) -> bool:
    """Whether the arguments show that the entrypoint is vLLM's server, where the image alone does not.

    An image named after vLLM needs `--model` or a flag that no other engine has; any other image needs both.
    """
    if facts is not None and facts.entrypoint == "exec":
        return False
    names = {(word.text or "").partition("=")[0].replace("_", "-") for word in line.argv}
    names_model = bool(names & {"--model", "--served-model-name"})
    tells = any(flag in names for flag in _TELLING_FLAGS)
    named = facts is not None and facts.role == "server"
    return names_model or tells if named else names_model and tells


def _opaque_invocation(candidate: _Candidate) -> Invocation | None:
    """A vLLM image whose own script, or one inside it, starts the server: its arguments are unknown."""
    container, line, facts = candidate.container, candidate.line, candidate.facts
    if facts is None or container.image is None or line.script is not None:
        return None
    if not _runs_own_entrypoint(candidate):
        return None
    serves = bool(container.ports) or any(accelerator_of(name) for name in container.resources("limits"))
    simulated = facts.role == "simulator"
    program = (line.argv[0].text or "") if line.argv else ""
    in_image = program.endswith(".sh") or (not line.argv and facts.entrypoint == "unknown")
    if not simulated and not (serves and in_image):
        return None
    return Invocation("serve", (unknown_word(container.image),), (), opaque=True)
