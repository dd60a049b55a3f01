"""A container that serves with vLLM, whatever starts it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from vllmlint.facts.accelerators import Accelerator, accelerator_of
from vllmlint.kube.env import EnvVar
from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Container, Workload
from vllmlint.manifest.nodes import Scalar
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.serving.arg_results import UNKNOWN, ParsedArguments, Setting, UnknownFlag
from vllmlint.serving.arguments import parse_arguments
from vllmlint.serving.command import GRPC_MODULE, CommandLine, Invocation, MountedFiles
from vllmlint.serving.flag_tables import flag_table
from vllmlint.serving.image import ImageReference
from vllmlint.serving.model import ModelReference, classify_model
from vllmlint.serving.release import Release
from vllmlint.serving.value import Certainty, Origin, Value
from vllmlint.serving.wrappers.wrapper import UNDECIDED, Usual, Wrapper, wrapper_of

if TYPE_CHECKING:
    from vllmlint.serving.config_file import ConfigFile

ReleaseCertainty = Literal["certain", "likely", "contract", "assumed"]

#: A whole number of devices.
_COUNT = regex(r"[0-9]{1,9}")
#: vLLM's port when `--port` is not given (vllm-command-line.md, section 3).
DEFAULT_PORT = 8000


@record
class GpuRequest:
    """An accelerator that a container asks for: `count` is None when it is no whole number."""

    resource: str
    accelerator: Accelerator
    count: int | None
    node: Scalar


@record
class Group:
    """Pods that belong together: `role` of this server's pods, `size` all of them (None: not decided)."""

    name: str
    role: str
    size: int | None


@lru_cache(maxsize=4096)
def _default(version: str, name: str) -> Value:
    """A release's default, one `Value` for all servers."""
    release = Release.parse(version)
    spec = flag_table(release).get(name) if release is not None else None
    return Value(None if spec is None else spec.default, "default", f"vLLM {version}")


class Server:
    """A container that runs a vLLM API server (or a headless rank of one).

    `release` is the vLLM release its image is taken to hold; `release_certainty` says how that is
    known: from an official tag (`certain`), a derived tag (`likely`), the contract, or it is the
    newest known one (`assumed`). A simulator imitates the API without a model: no rule judges it.
    """

    def __init__(
        self,
        container: Container,
        image: ImageReference | None,
        invocation: Invocation,
        line: CommandLine,
        env: Mapping[str, EnvVar],
        release: Release,
        release_certainty: ReleaseCertainty,
        *,
        mounted: MountedFiles | None = None,
        is_simulator: bool = False,
    ) -> None:
        self.container = container
        self.image = image
        self.invocation = invocation
        self.line = line
        self.env = env
        self.release = release
        self.release_certainty: ReleaseCertainty = release_certainty
        self.is_simulator = is_simulator
        self._mounted = mounted
        self._config: ConfigFile | None = None
        # many rules ask for the same few settings
        self._values: dict[str, Value] = {}
        #: what other modules work out of this server more than once, by their own keys
        self.memo: dict[str, Any] = {}

    def forget(self) -> None:
        """Drop what was worked out on first use: in a run of thousands of files it would fill the memory."""
        for name in ("arguments", "model", "gpus"):
            self.__dict__.pop(name, None)
        self._values.clear()
        self.memo.clear()
        self.container.forget()

    @property
    def workload(self) -> Workload:
        """The pod template the server runs in."""
        return self.container.workload

    @property
    def object(self) -> KubeObject:
        """The object that carries the pod template."""
        return self.container.workload.object

    @cached_property
    def arguments(self) -> ParsedArguments:
        """The command line as this release's parser reads it."""
        words = [word.text for word in self.invocation.words]
        return parse_arguments(words, self.release, self.invocation.entrypoint, self._read_config)

    def _read_config(self, path: str) -> Mapping[str, Any] | None:
        """The content of a `--config` file, when a ConfigMap of the run holds it."""
        scalar = self._mounted(path) if self._mounted is not None else None
        if scalar is None:
            return None
        from vllmlint.serving.config_file import ConfigFile

        self._config = ConfigFile(scalar)
        return self._config.values

    @property
    def arguments_known(self) -> bool:
        """Whether a flag that is not seen is really not given."""
        return self.arguments.complete

    def flag_place(self, setting: Setting) -> Place:
        """The characters of a flag's spelling."""
        if setting.from_config and self._config is not None:
            return self._config.place_of(setting.name, key=True)
        return self.word_place(setting.flag_word, *setting.flag_span)

    def unknown_flag_place(self, flag: UnknownFlag) -> Place:
        """The characters of a flag that this release does not know."""
        if flag.word < 0 and self._config is not None:
            return self._config.place_of(flag.name.lstrip("-").replace("-", "_"), key=True)
        return self.word_place(flag.word, *flag.span)

    def value_place(self, setting: Setting) -> Place:
        """The characters of a flag's value; of the flag when it has none."""
        if setting.from_config and self._config is not None:
            return self._config.place_of(setting.name, key=False)
        if not setting.value_words or setting.value_span is None:
            return self.flag_place(setting)
        return self.word_place(setting.value_words[0], *setting.value_span)

    def word_place(self, index: int, start: int | None = None, end: int | None = None) -> Place:
        """The characters of a word of the command line, or of a part of it."""
        if not 0 <= index < len(self.invocation.words):
            return self.anchor
        word = self.invocation.words[index]
        if start is None or end is None:
            return word.place
        return word.part(start, end)

    @property
    def anchor(self) -> Place:
        """What to underline for the server as a whole: the container's name."""
        node = self.container.anchor
        return node.content if isinstance(node, Scalar) else node.place

    def get(self, name: str) -> Value:
        """A setting by vLLM's name (`tensor_parallel_size`): as set, else the release's default."""
        value = self._values.get(name)
        if value is None:
            value = self._values[name] = self._work_out(name)
        return value

    def _work_out(self, name: str) -> Value:
        setting = self.arguments.settings.get(name)
        if setting is not None:
            return self._from_setting(setting)
        if name in self.injected:
            return self._from_wrapper(self.injected[name])
        if not self.arguments_known:
            return Value(None, "assumed", certainty="unknown", reason="part of the command line is not known")
        return _default(self.release.text, name)

    @cached_property
    def wrapper(self) -> Wrapper | None:
        """What the controller of a wrapper kind adds; None for other pods."""
        return wrapper_of(self.workload)

    @cached_property
    def injected(self) -> Mapping[str, Any]:
        """Settings that a controller gives where no word of the command line does."""
        wrapper = self.wrapper
        return wrapper.settings if wrapper is not None else {}

    def _from_wrapper(self, value: Any) -> Value:
        controller = self.wrapper.controller if self.wrapper is not None else ""
        if value is UNDECIDED:
            return Value(None, "wrapper", controller, certainty="unknown", reason=f"{controller} decides it")
        if isinstance(value, Usual):
            return Value(value.value, "wrapper", controller, certainty="depends", reason=value.reason)
        return Value(value, "wrapper", controller)

    @property
    def group(self) -> Group | None:
        """The serving group of the server's pods; None for pods of one sort that stand alone."""
        obj, workload, wrapper = self.object, self.workload, self.wrapper
        if workload.carrier == "lws":
            size = obj.node.integer("spec", "leaderWorkerTemplate", "size")
            return Group(obj.name, workload.role, size or 1)
        size = wrapper.size if wrapper is not None else None
        if not workload.role and (size is None or size == 1):
            return None
        return Group(obj.name, workload.role, size)

    def _from_setting(self, setting: Setting) -> Value:
        command = self.invocation.command
        certainty: Certainty = "depends" if command is not None and command.conditional else "certain"
        reason = "set in one branch of the script" if certainty == "depends" else ""
        if setting.value is UNKNOWN or not setting.certain:
            certainty, reason = "unknown", "the manifest does not tell the value"
        origin, name = self._origin(setting)
        return Value(
            None if setting.value is UNKNOWN else setting.value,
            origin,
            name,
            self.value_place(setting),
            self.flag_place(setting),
            certainty,
            reason,
        )

    def _origin(self, setting: Setting) -> tuple[Origin, str]:
        if setting.from_config:
            return "config-file", setting.spelling
        source = self.invocation.source_of(setting.flag_word)
        return ("args", setting.spelling) if source is None else (source.origin, source.name)

    def integer(self, name: str) -> int | None:
        """The value of a whole-number setting, its default included; None when it cannot be told."""
        value = self.get(name)
        known = value.known and isinstance(value.value, int) and not isinstance(value.value, bool)
        return value.value if known else None

    def is_set(self, name: str) -> bool:
        """Whether a switch is on for certain."""
        value = self.get(name)
        return value.known and value.value is True

    @cached_property
    def model(self) -> ModelReference:
        """What is served."""
        arguments = self.arguments
        stored = self.wrapper.model if self.wrapper is not None else None
        if stored is not None and (arguments.model or "").rstrip("/") == stored.path:
            # to vLLM it is a directory, which the controller fills with what the URI names
            return ModelReference(
                *classify_model(stored.uri.text), stored.uri.content, arguments.model_source or "unknown"
            )
        model_id, kind = classify_model(arguments.model)
        place = None
        if arguments.model_word is not None:
            place = self.word_place(arguments.model_word, *(arguments.model_span or (None, None)))
        return ModelReference(model_id, kind, place, arguments.model_source or "unknown")

    @property
    def port(self) -> int | None:
        """The port the API listens on; None when it cannot be told, or another process answers."""
        if not self.invocation.serves_http:
            return None
        value = self.get("port")
        if not value.known:
            return None
        return value.value if isinstance(value.value, int) else DEFAULT_PORT

    @property
    def uses_tls(self) -> bool | None:
        """Whether the API speaks HTTPS; None when it cannot be told."""
        value = self.get("ssl_certfile")
        return None if not value.known else bool(value.value)

    @property
    def speaks_grpc(self) -> bool:
        """Whether the port speaks gRPC, so that no HTTP probe can pass."""
        launcher = self.invocation.launcher
        return self.is_set("grpc") or (bool(launcher) and launcher[-1].text == GRPC_MODULE)

    @property
    def is_headless(self) -> bool:
        """Whether the process is a rank without an API server; only `vllm serve` knows such ranks."""
        return self.invocation.entrypoint == "serve" and self.is_set("headless")

    @property
    def api_key(self) -> tuple[Place, bool] | None:
        """Where a key for requests under /v1 is set, and whether it is there for certain (a Secret may
        be optional); None when none is wanted."""
        flag = self.get("api_key")
        keys = flag.value if isinstance(flag.value, list | tuple) else (flag.value,)
        given = not flag.known or any(keys)
        if flag.explicit and flag.flag_place is not None and given:
            return flag.flag_place, True
        variable = self.env.get("VLLM_API_KEY")
        if variable is None or variable.value == "":
            return None
        entries = (
            entry for entry in self.container.node.mappings("env") if entry.string("name") == "VLLM_API_KEY"
        )
        optional = any(entry.flag("valueFrom", "secretKeyRef", "optional") for entry in entries)
        return variable.name_node.content, not optional

    @cached_property
    def gpus(self) -> tuple[GpuRequest, ...]:
        """The accelerators in the container's limits and requests (limits win)."""
        found: dict[str, GpuRequest] = {}
        for section in ("limits", "requests"):
            for name, node in self.container.resources(section).items():
                accelerator = accelerator_of(name)
                if accelerator is not None and name not in found:
                    text = node.text.strip()
                    found[name] = GpuRequest(
                        name, accelerator, int(text) if _COUNT.fullmatch(text) else None, node
                    )
        return tuple(found.values())

    @property
    def gpu_count(self) -> int | None:
        """Whole devices the container gets; None when it asks for none, or for shares of one."""
        whole = [gpu.count for gpu in self.gpus if gpu.accelerator.whole]
        counts = [count for count in whole if count is not None]
        return sum(counts) if whole and len(counts) == len(whole) else None

    @property
    def has_claims(self) -> bool:
        """Whether the container takes devices through a resource claim (DRA)."""
        return self.container.node.sequence("resources", "claims") is not None
