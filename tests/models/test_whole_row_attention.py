"""One flash call over a whole row of sequences, as CUDA has it. Its arguments are checked here against what they mean; the
kernel itself on a GPU only.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from tiny_models import make_batch, tiny
from tiny_tasks import RAGGED
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from xstilts.models import packed_attention
from xstilts.models.loading import load_encoder


def sequence_by_sequence(
    query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int
) -> Tensor:
    """What torch documents of ``varlen_attn``: T x heads x size, each stretch between two bounds by itself."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    ends = cu_seq_q.tolist()
    assert ends[0] == 0 and ends[-1] == len(query) and cu_seq_q.equal(cu_seq_k)
    assert max_q == max_k == max(b - a for a, b in pairwise(ends))
    parts = []
    for a, b in pairwise(ends):
        q, k, v = (states[a:b].transpose(0, 1) for states in (query, key, value))
        parts.append(scaled_dot_product_attention(q, k, v).transpose(0, 1))
    return torch.cat(parts)


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "xlm-roberta-xl"])
def test_a_whole_row_at_once_is_what_runs_are(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, batch = load_encoder(tiny(family)), make_batch(RAGGED)
    with torch.no_grad():
        by_runs = encoder(batch)
        calls: list[int] = []

        def counted(*arguments: Tensor) -> Tensor:
            calls.append(1)
            return sequence_by_sequence(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(packed_attention, "takes_whole_rows", lambda query, dropout: True)
        monkeypatch.setattr(packed_attention, "varlen_attn", counted)
        at_once = encoder(batch)
    assert len(calls) == encoder.num_layers
    torch.testing.assert_close(at_once, by_runs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("dtype", "dropout"), [(torch.float32, 0.0), (torch.bfloat16, 0.1), (torch.bfloat16, 0.0)])
def test_a_cpu_attends_run_by_run(dtype: torch.dtype, dropout: float) -> None:
    assert not packed_attention.takes_whole_rows(torch.zeros(1, 2, 3, 32, dtype=dtype), dropout)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_a_gpu_attends_to_a_whole_row_in_half_precision(family: str) -> None:
    batch = make_batch(RAGGED)
    there = replace(batch, input_ids=batch.input_ids.cuda(), type_ids=batch.type_ids.cuda(), read=batch.read.cuda())
    with torch.no_grad():
        expected = load_encoder(tiny(family))(batch)
        ours = load_encoder(tiny(family), "bf16", device="cuda")(there).cpu()
    assert float((ours - expected).norm() / expected.norm()) < 0.05
