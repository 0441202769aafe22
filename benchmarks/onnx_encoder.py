"""ONNX Runtime as a peer: the encoder exported by torch, fused by ONNX Runtime's own optimizer for BERT-like models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxruntime.transformers.optimizer import optimize_model
from transformers import AutoModel, AutoTokenizer

from xstilts.models.loading import quiet
from xstilts.task_types.base import FloatArray, IntArray

_NAMES = ("input_ids", "attention_mask")


class _Pooled(torch.nn.Module):
    """Mean over the mask, within the graph: only vectors leave it."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """B x L to B x H."""
        states = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[:, :, None].to(states.dtype)
        pooled: torch.Tensor = (states * mask).sum(1) / mask.sum(1)
        return pooled


def export_encoder(folder: Path, out: Path) -> Path:
    """The encoder of ``folder`` with mean pooling as an optimized ONNX file in ``out``; made once."""
    final = out / "optimized.onnx"
    if final.exists():
        return final
    out.mkdir(parents=True, exist_ok=True)
    with quiet():
        model = AutoModel.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", add_pooling_layer=False, local_files_only=True
        ).eval()
        ids = torch.tensor([[0, 5, 6, 7, 2], [0, 5, 2, 1, 1]])
        torch.onnx.export(
            _Pooled(model),
            (ids, ids.ne(1).long()),
            str(out / "plain.onnx"),
            input_names=list(_NAMES),
            output_names=["pooled"],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in _NAMES} | {"pooled": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    optimized = optimize_model(
        str(out / "plain.onnx"),
        model_type="bert",
        num_heads=model.config.num_attention_heads,
        hidden_size=model.config.hidden_size,
    )
    optimized.save_model_to_file(str(out / "part.onnx"))
    (out / "part.onnx").rename(final)
    return final


def onnx_encoder(folder: Path, out: Path, max_length: int) -> Callable[[Sequence[str], int], FloatArray]:
    """Texts to mean-pooled vectors, batches sorted by sub-words; with as many threads as torch has."""
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session: Any = onnxruntime.InferenceSession(
        str(export_encoder(folder, out)), options, providers=["CPUExecutionProvider"]
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def encode(texts: Sequence[str], batch_size: int) -> FloatArray:
        ids = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
        order: IntArray = np.argsort([-len(each) for each in ids], kind="stable")
        parts = []
        for start in range(0, len(ids), batch_size):
            some = [ids[i] for i in order[start : start + batch_size]]
            block = tokenizer.pad({"input_ids": some}, return_tensors="np")
            parts.append(session.run(None, {name: block[name].astype(np.int64) for name in _NAMES})[0])
        vectors: FloatArray = np.empty((len(texts), parts[0].shape[1]), np.float32)
        vectors[order] = np.concatenate(parts)
        return vectors

    return encode
