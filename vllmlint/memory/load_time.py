"""How long a start takes: download, read, compile, capture, as bands in seconds.

The contract's `storage.readGibPerSecond` and `downloadGibPerSecond` make the first two narrow; compile and
capture depend on the CPU and are wide on purpose.
"""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.activation import is_compiled
from vllmlint.memory.band import ZERO, Band, total
from vllmlint.memory.graphs import graph_counts
from vllmlint.memory.sampler import at_least
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.record import record

#: Imports, processes, the distributed environment: 19 s until loading began in a 0.19.0 log with one GPU.
_INIT = Band(8.0, 20.0, 60.0, "CPU and image storage")
_INIT_PER_RANK = Band(0.5, 2.0, 6.0, "process start and NCCL")
#: GiB/s where the contract names no rate: network storage to local NVMe.
_READ_RATES = (0.2, 1.0, 3.0)
_DOWNLOAD_RATES = (0.05, 0.3, 1.0)
#: torch.compile with an empty cache: a base and a part for each layer (20 s for 28 layers, 55 s for 80 layers
#: in logs of 0.19 and early V1); a warm cache takes 3 to 10 s.
_COMPILE = (3.0, 12.0, 60.0)
_COMPILE_PER_LAYER = (0.0, 0.4, 1.5)
#: One graph: 0.03 to 0.4 s in logs ("Graph capturing finished in 3 secs" for 102 in 0.19.0, 9 s for 86, 14 s
#: for 35 in V0).
_CAPTURE = (0.02, 0.12, 0.5)
#: Graphs of a server whose batch limits are not known: the default lists have 35 (V0, small cards) to 102
#: sizes (full and piecewise, 0.19.0 logs); none with `--enforce-eager` or on other devices than GPUs.
_GRAPHS = (0, 51, 102)
#: Layers where the config does not say.
_LAYERS = 32
#: Profile run and kernel warm-up; block-quantised fp8 on Hopper and newer compiles DeepGEMM kernels too.
_WARM_UP = Band(1.0, 4.0, 20.0, "kernel warm-up")
_DEEP_GEMM = Band(0.0, 20.0, 300.0, "DeepGEMM compiles its kernels once")


@record
class StartupStep:
    """One step of a start: its name, the seconds it takes, and how they were worked out."""

    name: str
    seconds: Band
    formula: str


@record
class StartupTime:
    """The steps of one start, in order."""

    steps: tuple[StartupStep, ...]

    @property
    def seconds(self) -> Band:
        """The whole start."""
        return total(step.seconds for step in self.steps)


def startup_seconds(
    config: EngineConfig,
    checkpoint_gib: float | None,
    *,
    read_gib_per_second: float | None = None,
    download_gib_per_second: float | None = None,
    downloads: bool = False,
) -> StartupTime:
    """The time from process start to readiness.

    `checkpoint_gib` is the size of the weights as they lie in storage (None: not known, then the bounds of
    reading are 0 and an hour). `downloads` says that they are fetched from the hub first.
    """
    ranks = config.tensor_parallel_size * config.pipeline_parallel_size
    steps = _until_loaded(ranks, checkpoint_gib, read_gib_per_second, download_gib_per_second, downloads)
    return StartupTime((*steps, _compile(config), _warm_up(config), _capture(config)))


def startup_seconds_anywhere(
    architecture: ModelArchitecture,
    ranks: int,
    checkpoint_gib: float | None,
    *,
    read_gib_per_second: float | None = None,
    download_gib_per_second: float | None = None,
    downloads: bool = False,
    eager: bool = False,
) -> StartupTime:
    """The same where the GPU is not known: compile, warm-up and capture may then take no time at all.

    `ranks` are the processes that load; `eager` says that nothing is compiled or captured.
    """
    steps = _until_loaded(ranks, checkpoint_gib, read_gib_per_second, download_gib_per_second, downloads)
    layers = architecture.num_hidden_layers or _LAYERS
    if not eager:
        _, mid, high = (base + each * layers for base, each in zip(_COMPILE, _COMPILE_PER_LAYER, strict=True))
        steps.append(
            StartupStep("compile", Band(0.0, mid, high, "compile cache and CPU"), f"{layers} layers")
        )
        low, mid, high = (each * count for each, count in zip(_CAPTURE, _GRAPHS, strict=True))
        steps.append(
            StartupStep("capture graphs", Band(low, mid, high, "CPU and model"), f"{_GRAPHS[1]} graphs")
        )
    steps.append(StartupStep("warm-up", _WARM_UP, "profile run"))
    return StartupTime(tuple(steps))


def _until_loaded(
    ranks: int, size_gib: float | None, read_rate: float | None, download_rate: float | None, downloads: bool
) -> list[StartupStep]:
    """Processes, download and reading."""
    start = _INIT.plus(_INIT_PER_RANK.scaled(max(0, ranks - 1)))
    steps = [StartupStep("processes", start, f"{ranks} ranks")]
    if downloads:
        steps.append(_transfer("download", size_gib, download_rate, _DOWNLOAD_RATES))
    steps.append(_transfer("read weights", size_gib, read_rate, _READ_RATES))
    return steps


def _transfer(
    name: str, size_gib: float | None, rate: float | None, usual: tuple[float, float, float]
) -> StartupStep:
    if size_gib is None:
        return StartupStep(name, Band(0.0, 120.0, 3600.0, "size not known"), "size not known")
    if rate is not None and rate > 0:
        seconds = size_gib / rate
        return StartupStep(
            name,
            Band(seconds * 0.8, seconds, seconds * 1.5, "other readers of the same storage"),
            f"{size_gib:.2f} GiB / {rate:g} GiB/s",
        )
    slow, middle, fast = usual
    return StartupStep(
        name,
        Band(size_gib / fast, size_gib / middle, size_gib / slow, "the contract names no rate"),
        f"{size_gib:.2f} GiB / {middle:g} GiB/s ({slow:g} to {fast:g})",
    )


def _compile(config: EngineConfig) -> StartupStep:
    if not is_compiled(config):
        return StartupStep("compile", ZERO, "eager or V0")
    layers = (config.architecture.num_hidden_layers or 32) // config.pipeline_parallel_size
    low, mid, high = (base + each * layers for base, each in zip(_COMPILE, _COMPILE_PER_LAYER, strict=True))
    return StartupStep("compile", Band(low, mid, high, "compile cache and CPU"), f"{layers} layers")


def _warm_up(config: EngineConfig) -> StartupStep:
    capability = config.gpu.compute_capability
    block_fp8 = bool(config.architecture.part("quantization_config").get("weight_block_size"))
    wanted = config.request.env.get("VLLM_USE_DEEP_GEMM") != "0" and at_least(config.release, 0, 10)
    if block_fp8 and wanted and capability is not None and capability >= (9, 0):
        return StartupStep("warm-up", _WARM_UP.plus(_DEEP_GEMM), "profile run, DeepGEMM kernels")
    return StartupStep("warm-up", _WARM_UP, "profile run")


def _capture(config: EngineConfig) -> StartupStep:
    count = sum(graph_counts(config))
    low, mid, high = (each * count for each in _CAPTURE)
    return StartupStep("capture graphs", Band(low, mid, high, "CPU and model"), f"{count} graphs")
