"""What vLLM's memory profile finds between weights and KV cache, for one rank of a pipeline stage.

    available for KV = utilization x total - weights - activation - buffers - non-torch - CUDA graphs

with each part as the release charges it (vllm-memory.md 2.1 to 2.6). What a release does not charge is used
all the same: `outside` names it, and it has to fit beside the budget.
"""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.activation import activation
from vllmlint.memory.band import ZERO, Band, Term, total
from vllmlint.memory.buffers import runner_buffers
from vllmlint.memory.dimensions import UnknownDimensionError, dimensions
from vllmlint.memory.graphs import graph_cost
from vllmlint.memory.non_torch import non_torch
from vllmlint.memory.sampler import before
from vllmlint.record import record

#: An activation that nothing is known of: between a tiny model's and 16 GiB, the largest logged peaks of
#: multimodal models (calibration notes: 15.73 GiB).
_UNKNOWN_ACTIVATION = Band(0.1, 2.0, 16.0, "")


@record
class ProfileTerms:
    """The charged terms, GiB per GPU, and what is used beyond the budget.

    `activation` is the transient peak, `buffers` what stays (experts' workspace, runner buffers; LoRA
    slots are weights), `non_torch` and `cuda_graph` only what the release charges. `outside`: CUDA
    context, NCCL, uncharged graphs and buffers. `unknown` says why a term could not be told.
    `workspace_gib` is the experts' workspace inside `buffers`.
    """

    activation: Term
    buffers: Term
    non_torch: Term
    cuda_graph: Term
    outside: tuple[Term, ...]
    unknown: tuple[str, ...]
    workspace_gib: Band

    @property
    def charged(self) -> tuple[Term, ...]:
        """The terms that are taken from the budget."""
        return (self.activation, self.buffers, self.non_torch, self.cuda_graph)

    @property
    def charged_gib(self) -> Band:
        """The sum of the charged terms."""
        return total(term.gib for term in self.charged)

    @property
    def outside_gib(self) -> Band:
        """The sum of what is used beyond the budget."""
        return total(term.gib for term in self.outside)

    def logged_activation_gib(self, config: EngineConfig) -> Band:
        """What the release prints as peak activation: with the experts' workspace while torch's peak
        increase is what it prints (to 0.26), and with the charged graph estimate (0.20 and newer)."""
        band = self.activation.gib.plus(self.cuda_graph.gib)
        return band.plus(self.workspace_gib) if before(config.release, 0, 27) else band

    def logged_non_torch_gib(self, config: EngineConfig) -> Band:
        """What the release prints as non-torch memory, or since 0.27 as consumed memory less the weights."""
        if before(config.release, 0, 27):
            return self.non_torch.gib
        return self.non_torch.gib.plus(self.buffers.gib)


def profile_terms(config: EngineConfig, stage: int = 0) -> ProfileTerms:
    """The terms of one pipeline stage (0 is the first). Never raises: what cannot be told is in `unknown`."""
    other = non_torch(config, stage)
    outside = [Term("CUDA context and communication", other.outside, "before the first snapshot")]
    non_torch_term = Term("non_torch", other.charged, other.formula)
    try:
        sizes = dimensions(config)
    except UnknownDimensionError as error:
        reason = str(error)
        band = Band(_UNKNOWN_ACTIVATION.low, _UNKNOWN_ACTIVATION.mid, _UNKNOWN_ACTIVATION.high, reason)
        return ProfileTerms(
            Term("activation", band, reason),
            Term("buffers", Band(0.0, 0.1, 1.5, reason), reason),
            non_torch_term,
            Term("cuda_graph", Band(0.0, 0.3, 4.0, reason), reason),
            tuple(outside),
            (reason,),
            ZERO,
        )
    peak = activation(config, sizes, stage)
    kept = runner_buffers(config, sizes)
    graphs = graph_cost(config, sizes)
    if kept.outside is not ZERO:
        outside.append(Term("runner buffers", kept.outside, kept.formula))
    if graphs.charged is ZERO and graphs.actual is not ZERO:
        outside.append(Term("CUDA graphs", graphs.actual, graphs.formula))
    charged_text = graphs.formula if graphs.charged is not ZERO else f"not charged: {graphs.formula}"
    return ProfileTerms(
        activation=Term("activation", peak.peak, peak.formula),
        buffers=Term(
            "buffers", peak.workspace.plus(kept.charged), _buffer_text(peak.workspace, kept.formula)
        ),
        non_torch=non_torch_term,
        cuda_graph=Term("cuda_graph", graphs.charged, charged_text),
        outside=tuple(outside),
        unknown=(),
        workspace_gib=peak.workspace,
    )


def _buffer_text(workspace: Band, formula: str) -> str:
    return f"experts' workspace {workspace.mid:.3f} + {formula}" if workspace.mid else formula
