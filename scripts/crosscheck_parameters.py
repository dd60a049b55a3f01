"""Compare parameters by module with what transformers builds from the same config.

    python scripts/crosscheck_parameters.py [MODEL_ID …] [--limit PERCENT]

Needs `torch` and `transformers`, which the project does not depend on. For every model of the catalogue (or
those named) a config of transformers' class is filled with the catalogue's fields and the model is built on
the meta device, which allocates nothing and downloads nothing. Prints one row a model: our count,
transformers', and the difference. Exit 1 where a difference exceeds the limit (0.2 % unless given). Models
whose type transformers does not have, and partial rows, are passed over and counted.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import catalogue_ids, find_architecture
from vllmlint.models.modules import parameter_count


def text_config(architecture: ModelArchitecture) -> Any:
    """A config of transformers' text class with the catalogue's fields; None where it has no such class."""
    from transformers import CONFIG_MAPPING

    kind = architecture.model_type
    if kind not in CONFIG_MAPPING:
        return None
    skipped = {"quantization_config", "vision_config", "audio_config", "architectures", "model_type"}
    skipped |= {"text_model_type", "rope_scaling", "torch_dtype"}
    fields = {key: value for key, value in architecture.fields.items() if key not in skipped}
    return CONFIG_MAPPING[kind](**fields)


def built_parameters(architecture: ModelArchitecture) -> int | None:
    """Parameters of the text model that transformers builds, tied ones once; None where it cannot."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM

    config = text_config(architecture)
    if config is None:
        return None
    causal = "CausalLM" in architecture.class_name or "ConditionalGeneration" in architecture.class_name
    maker = AutoModelForCausalLM if causal else AutoModel
    with torch.device("meta"):
        model = maker.from_config(config)
    model.tie_weights()
    return sum(parameter.numel() for parameter in {id(p): p for p in model.parameters()}.values())


def main() -> int:
    """Print the comparison; 0 where all that could be compared agree."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*")
    parser.add_argument("--limit", type=float, default=0.2, help="percent")
    options = parser.parse_args()
    off = compared = passed_over = 0
    seen: set[tuple[str, int]] = set()
    for model_id in options.models or catalogue_ids():
        architecture = find_architecture(model_id)
        count = None if architecture is None else parameter_count(architecture)
        if architecture is None or count is None or (architecture.class_name, count.text) in seen:
            continue
        seen.add((architecture.class_name, count.text))
        try:
            built = built_parameters(architecture)
        except Exception as error:  # a config that transformers itself cannot build is no finding of ours
            print(
                f"{model_id:50} cannot be built: {type(error).__name__}: {str(error)[:80]}", file=sys.stderr
            )
            built = None
        if built is None:
            passed_over += 1
            continue
        compared += 1
        percent = 100 * (count.text - built) / built
        off += abs(percent) > options.limit
        print(f"{model_id:50} ours {count.text:>17,} transformers {built:>17,} {percent:+.3f} %")
    print(f"compared {compared}, off by more than {options.limit} %: {off}; passed over: {passed_over}")
    return 1 if off else 0


if __name__ == "__main__":
    raise SystemExit(main())
