"""LoRA (Hu et al. 2021) through ``peft``: small trained matrices beside frozen ones, and the merged weights they amount to.

An adapted linear layer computes ``W x + b + alpha / rank * B A dropout(x)``; only A and B are trained. They are put in before
the layers are replaced by faster ones (``linear.use_onednn``), so that an activation is never computed before the adapter's
part is added, and A and B are fast too. A is drawn from the training's seed, B is zero: the first forward pass is that of the
model without adapters.

Merged weights are made beside the frozen ones, which stay as they are to the last bit: a model can be exported on the way.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from xstilts.errors import ModelError
from xstilts.hyperparameters import LORA_FAMILIES, Lora

MODULES = {
    "query": r"attention\.self\.query",
    "key": r"attention\.self\.key",
    "value": r"attention\.self\.value",
    "attention_output": r"attention\.output\.dense",
    "intermediate": r"intermediate\.dense",
    "output": r"output\.dense",
}
"""Our name of each linear layer that can be adapted -> its place in a transformer layer of every family that is verified."""
_NAME = "default"  # peft's, of the only adapter


def add_adapters(transformer: Any, lora: Lora, seed: int) -> None:
    """Freeze ``transformer`` and put adapters into it, in place; embeddings are trained beside them if ``lora`` says so.

    Raises:
        ModelError: a family whose layers are named otherwise.
    """
    from peft import LoraConfig, inject_adapter_in_model

    family = str(transformer.config.model_type)
    if family not in LORA_FAMILIES:
        raise ModelError(f"LoRA is not verified for {family!r}", hint=f"it is for: {', '.join(LORA_FAMILIES)}")
    places = "|".join(MODULES[name] for name in lora.targets)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=rf"encoder\.layer\.\d+\.({places})",
        task_type="FEATURE_EXTRACTION",
    )
    with torch.random.fork_rng(devices=()):  # peft draws what is drawn anew below
        inject_adapter_in_model(config, transformer)
    generator = torch.Generator().manual_seed(seed + 2**32)  # the head is drawn from ``seed``
    for name, parameter in transformer.named_parameters():
        parameter.requires_grad_(".lora_" in name)
        if ".lora_A." in name:  # as peft and torch's linear layers do, whatever the global generator
            nn.init.kaiming_uniform_(parameter, a=math.sqrt(5), generator=generator)
        elif ".lora_B." in name:
            nn.init.zeros_(parameter)
    if lora.embeddings:
        transformer.get_input_embeddings().requires_grad_(True)


def has_adapters(transformer: nn.Module) -> bool:
    """Whether ``add_adapters`` was here."""
    return any(hasattr(module, "lora_A") for module in transformer.modules())


@torch.no_grad()
def plain_weights(transformer: nn.Module) -> dict[str, Tensor]:
    """The weights of the transformer without adapters that computes the same: its ``state_dict`` where it has none.

    A weight that has two names (T5's embeddings) stands once.
    """
    modules: dict[str, Any] = dict(transformer.named_modules())
    weights: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, kept in transformer.state_dict(keep_vars=True).items():
        if ".lora_" in name or id(kept) in seen:
            continue
        seen.add(id(kept))
        weight = kept.detach()
        place, _, kind = name.rpartition(".")
        adapted = place.removesuffix(".base_layer")
        if adapted != place and kind == "weight":
            weight = weight + modules[adapted].get_delta_weight(_NAME).to(weight)
        weights[f"{adapted}.{kind}"] = weight
    return weights


def save_adapters(transformer: Any, out: Path) -> None:
    """The adapters alone, as ``PeftModel.from_pretrained`` reads them beside the model that training started from."""
    from peft import get_peft_model_state_dict

    out.mkdir()
    weights = get_peft_model_state_dict(transformer)
    ready = {f"base_model.model.{name}": w.detach().cpu().contiguous() for name, w in weights.items()}
    save_file(ready, out / "adapter_model.safetensors", metadata={"format": "pt"})
    transformer.peft_config[_NAME].save_pretrained(out)
