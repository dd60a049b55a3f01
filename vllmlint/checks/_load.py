"""How large a server's model is, and how long a start takes: what probe, memory and storage rules share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vllmlint.checks._fit import plans_of
from vllmlint.checks._hub import downloads_from_hub, has_mirror, keeping_mounts
from vllmlint.record import record
from vllmlint.serving.ranks import ranks_of, runs_in_one_pod
from vllmlint.serving.server import Server
from vllmlint.severity import Confidence
from vllmlint.world import World

if TYPE_CHECKING:
    from vllmlint.engine.config import EngineConfig
    from vllmlint.memory.band import Band
    from vllmlint.memory.load_time import StartupTime
    from vllmlint.models.architecture import ModelArchitecture

GIB = 1 << 30
#: Formats that are read as `load_time` reckons; streaming loaders are bound by other limits, GGUF
#: repositories hold many files of which one is read.
_PLAIN_FORMATS = frozenset({"auto", "safetensors", "hf", "mistral", "pt", "npcache"})

#: A budget that is suggested is this much above the middle of the estimate, in steps of a minute.
_SPARE = 2.0
_STEP_SECONDS = 60


@record
class KnownSize:
    """The model of a server and the bytes of its files.

    `config` is what the engine resolves on the first GPU that the pod may get, None where none is known.
    """

    architecture: ModelArchitecture
    stored: Band
    config: EngineConfig | None
    assumptions: tuple[str, ...]
    confidence: Confidence

    @property
    def gib(self) -> float:
        """The size in GiB, as it is shown."""
        return self.stored.mid / GIB


@record
class KnownStart:
    """An estimate of a server's start; `downloads` says that every new pod fetches the model first.

    `assumptions` are the rates that it rests on where the contract names none.
    """

    size: KnownSize
    time: StartupTime
    downloads: bool
    assumptions: tuple[str, ...]

    @property
    def seconds(self) -> Band:
        """From container start to readiness."""
        return self.time.seconds

    @property
    def budget_seconds(self) -> int:
        """Seconds to allow for a start: well above the estimate's middle, whole minutes."""
        return math.ceil(self.seconds.mid * _SPARE / _STEP_SECONDS) * _STEP_SECONDS

    @property
    def words(self) -> str:
        """The start in words: `about 74 s (19 to 306 s; 15 GiB are read)`."""
        band = self.seconds
        verb = "downloaded and read" if self.downloads else "read"
        span = f"{band.low:.0f} to {band.high:.0f} s"
        return f"about {band.mid:.0f} s ({span}; {self.size.gib:.3g} GiB are {verb})"


def known_size(server: Server, world: World) -> KnownSize | None:
    """The size of a server's model; None where the model is not known or its files are of another kind."""
    if "known size" not in server.memo:
        server.memo["known size"] = _work_out_size(server, world)
    found: KnownSize | None = server.memo["known size"]
    return found


def _work_out_size(server: Server, world: World) -> KnownSize | None:
    plans = plans_of(server, world) if _is_plain(server) else ()
    if not plans:
        return None
    from vllmlint.memory.stored import stored_bytes
    from vllmlint.plans.fit_model import model_of_server

    model = model_of_server(server, world)
    stored = stored_bytes(model.architecture) if model.architecture is not None else None
    if model.architecture is None or stored is None:
        return None
    configs = (plan.memory.config for plan in plans if plan.memory is not None)
    config = next((one for one in configs if one is not None), None)
    return KnownSize(model.architecture, stored, config, model.assumptions, model.confidence)


def _is_plain(server: Server) -> bool:
    """Whether the model's own files are read whole, in a form whose size is that of the checkpoint."""
    given = server.get("load_format")
    if not given.known or (given.explicit and str(given.value) not in _PLAIN_FORMATS):
        return False
    return ".gguf" not in server.model.id.lower() and ":" not in server.model.id


def known_start(server: Server, world: World) -> KnownStart | None:
    """How long a server takes to start; None where its model is not known or other pods load parts of it."""
    if "known start" not in server.memo:
        server.memo["known start"] = _work_out_start(server, world)
    found: KnownStart | None = server.memo["known start"]
    return found


def _work_out_start(server: Server, world: World) -> KnownStart | None:
    ranks = ranks_of(server)
    if ranks is None or not _loads_alone(server, ranks.engine):
        return None
    size = known_size(server, world)
    if size is None:
        return None
    from vllmlint.memory.load_time import startup_seconds, startup_seconds_anywhere

    # an interrupted download goes on where the files are kept
    downloads = downloads_from_hub(server) and not keeping_mounts(server) and not has_mirror(server)
    storage = world.contract(server.object).storage
    read, download = storage.read_gib_per_second, storage.download_gib_per_second
    if size.config is not None:
        time = startup_seconds(
            size.config,
            size.gib,
            read_gib_per_second=read,
            download_gib_per_second=download,
            downloads=downloads,
        )
    else:
        time = startup_seconds_anywhere(
            size.architecture,
            ranks.engine,
            size.gib,
            read_gib_per_second=read,
            download_gib_per_second=download,
            downloads=downloads,
            eager=server.is_set("enforce_eager"),
        )
    return KnownStart(size, time, downloads, tuple(_taken_for_granted(read, download, downloads)))


def _taken_for_granted(read: float | None, download: float | None, downloads: bool) -> Iterator[str]:
    if downloads and download is None:
        yield "the hub delivers 0.05 to 1 GiB/s (contract: storage.downloadGibPerSecond)"
    if read is None:
        yield "storage delivers 0.2 to 3 GiB/s (contract: storage.readGibPerSecond)"


def _loads_alone(server: Server, world_size: int) -> bool:
    """Whether this pod's processes read the whole model."""
    if server.is_headless:
        return False
    count = server.gpu_count
    return runs_in_one_pod(server) or (count is not None and world_size <= count)
