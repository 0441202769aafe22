"""An encoder larger than memory: one layer is there at a time, while the next one is read.

The layers are transformers' own modules, made without memory (meta device) and given two places in turn: a layer computes in
one while the file is read into the other. What a layer computes is what ``Encoder`` computes on the same batch; the order
is another: all sequences pass layer k before layer k + 1 is read (``xstilts.inference.stream``).

Shape legend: T tokens of a batch end to end; H hidden size; R positions read; V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from xstilts.batching.batch import Batch
from xstilts.errors import ModelError
from xstilts.models.encoder import Encoder, only_rows
from xstilts.models.families import FAMILIES
from xstilts.models.layout import Layout
from xstilts.models.linear import use_onednn
from xstilts.models.loading import check_weights, quiet
from xstilts.models.packed_attention import Packing
from xstilts.models.precision import Precision
from xstilts.models.skeleton import STREAMED_HALVES, without_weights
from xstilts.models.weight_files import WeightFiles
from xstilts.task_types.base import IntArray

_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}  # in mBERT's files


@dataclass(frozen=True)
class _Parts:
    """How a family calls what is read on its own: names of modules in the encoder."""

    layers: str
    words: str  # V x H
    embeddings: str  # the words, and what is added to them
    final_norm: str | None
    position_bias: str | None = None  # of text-to-text models: in the first layer, and for all of them


_PACKED = _Parts("encoder.layer", "embeddings.word_embeddings", "embeddings", "encoder.LayerNorm")
_ENCODER_HALVES = _Parts(
    "encoder.block",
    "shared",
    "shared",
    "encoder.final_layer_norm",
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
)


class StreamedEncoder:
    """A transformers encoder whose weights stay in their files.

    Args:
        folder: as for ``load_encoder``; of a text-to-text model it is the encoder half.
        precision: ``bf16`` runs under autocast, with the layers' matrices in bfloat16, as autocast would make them.
        device: where the layers compute.

    Raises:
        ModelError: not such a folder, weights missing or of another shape, or a family that is not streamed.
    """

    def __init__(self, folder: Path, precision: Precision = "fp32", device: torch.device | str = "cpu") -> None:
        check_weights(folder)
        self.folder, self.precision, self.device = folder, precision, torch.device(device)
        with quiet():
            self.transformer = without_weights(folder)
        use_onednn(self.transformer)
        self.encoder = Encoder(self.transformer, precision).eval()
        text_to_text = str(self.config.model_type) in STREAMED_HALVES
        self._parts = _ENCODER_HALVES if text_to_text else _PACKED
        if not text_to_text and not hasattr(
            self.transformer.encoder, "LayerNorm"
        ):  # only pre-LayerNorm families end so
            self._parts = _Parts(_PACKED.layers, _PACKED.words, _PACKED.embeddings, None)
        self.files = WeightFiles(folder)
        self._names = self._found_names()
        self._staging = torch.empty(0, dtype=torch.uint8)
        self._final_norm = None if self._parts.final_norm is None else self._whole(self._parts.final_norm)
        if self._parts.position_bias is not None:
            owner: Any = self.transformer.get_submodule(self._parts.position_bias.rpartition(".")[0])
            owner.relative_attention_bias = self._whole(self._parts.position_bias)
        self.files.close()

    @property
    def config(self) -> Any:
        """The transformers config."""
        return self.encoder.config

    @property
    def num_layers(self) -> int:
        """Transformer layers, the embeddings not counted."""
        return self.encoder.num_layers

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.encoder.hidden_size

    @property
    def max_length(self) -> int | None:
        """The longest sequence in sub-words; ``None`` where the config does not limit it."""
        return self.encoder.max_length

    @property
    def packed(self) -> bool:
        """Whether sequences run end to end; else padded, in runs of near lengths."""
        return self.encoder.execution.kind == "packed"

    @property
    def layer_bytes(self) -> int:
        """Of one layer in memory; two of them are there."""
        return sum(s.numel() * self._kept_dtype(s).itemsize for s in self._layer_weights().values())

    @property
    def staging_bytes(self) -> int:
        """Of the largest weight that is not read straight to where it is used."""
        sizes = [0]
        for name, empty in self._layer_weights().items():
            stored = self.files.stored[self._names[f"{self._parts.layers}.0.{name}"]]
            straight = self.device.type == "cpu" and stored.dtype == self._kept_dtype(empty)
            sizes.append(0 if straight else stored.num_bytes)
        return max(sizes)

    @property
    def row_bytes(self) -> int:
        """Of one sub-word's row of the embedding matrix, as it is in the file."""
        stored = self.files.stored[self._names[f"{self._parts.words}.weight"]]
        return stored.shape[1] * stored.dtype.itemsize

    def embedder(self, ids: IntArray) -> Callable[[Batch, Layout], Tensor]:
        """What gives the embeddings' output of a batch, T x H float32, its tokens sorted as the layout says.

        Args:
            ids: every sub-word that will come, ascending, each once. Only their rows are read.

        Raises:
            ModelError: one of them has no row.
        """
        name = self._names[f"{self._parts.words}.weight"]
        rows = self.files.stored[name].shape[0]
        if len(ids) and ids[-1] >= rows:
            raise ModelError(
                f"the tokenizer gives sub-word {ids[-1]}, but the encoder knows {rows} (from 0)",
                where=str(self.folder),
                hint="the folder's tokenizer and weights are not of the same model",
            )
        words: nn.Module = _Rows(torch.from_numpy(ids).to(self.device), self.files.read_rows(name, ids).to(self.device))
        module = words
        if self._parts.embeddings != self._parts.words:
            module = self._whole(self._parts.embeddings, leave_out=self._parts.words)
            setattr(module, self._parts.words.rpartition(".")[2], words)

        def embed(batch: Batch, layout: Layout) -> Tensor:
            self.encoder.check(batch)
            with self.encoder.autocast(self.device):
                if not self.packed:
                    return cast(Tensor, words(layout.sort(batch.input_ids))).float()
                states: Tensor = module(**self.encoder.packed_inputs(batch, layout))
                return states[0].float()

        return embed

    def layers(self, first: int, last: int) -> Generator[nn.Module]:
        """Layers ``first`` to ``last`` (from 1), each until the next one is asked for; that one is read meanwhile."""
        if first > last:
            return
        slots = [self._slot() for _ in range(min(2, last - first + 1))]
        with ThreadPoolExecutor(1, "next-layer") as reader:
            coming = reader.submit(self._load, first, slots[0])
            for number in range(first, last + 1):
                layer = coming.result()
                if number < last:
                    coming = reader.submit(self._load, number + 1, slots[(number + 1 - first) % 2])
                yield layer
                if self.device.type == "cuda":  # its weights are overwritten next: what was asked of it must be over
                    torch.cuda.synchronize(self.device)

    def run(self, layer: nn.Module, states: Tensor, packing: Packing, rows: Tensor | None = None) -> Tensor:
        """A batch through one layer: T x H to T x H float32, sorted as its packing says.

        With ``rows`` (R, of the sorted row) only these go on after the attention, where the family allows it, and only these
        come back.
        """
        with self.encoder.autocast(self.device):
            if not self.packed:
                whole = torch.cat([self._padded(layer, of, run) for of, run in _runs(states, packing.layout)])
                return (whole if rows is None else whole.index_select(0, rows)).float()
            attended = packing.calls
            if rows is None:
                found = layer(states[None], packing=packing)
            else:
                with only_rows(layer, rows):
                    found = layer(states[None], packing=packing)
        if packing.calls != attended + 1:
            raise ModelError("a layer ran that did not attend within its sequences", where=str(self.folder))
        return _first(found)[0].float()

    def finish(self, states: Tensor) -> Tensor:
        """The last layer's states as ``Encoder`` gives them: with the final norm, where the family has one."""
        if self._final_norm is None:
            return states
        with self.encoder.autocast(self.device):
            normed: Tensor = self._final_norm(states)
        return normed.float()

    def _padded(self, layer: nn.Module, states: Tensor, run: Any) -> Tensor:
        assert self._parts.position_bias is not None
        owner: Any = self.transformer.get_submodule(self._parts.position_bias.rpartition(".")[0])
        bias: Tensor = owner.compute_bias(run.longest, run.longest, device=self.device)
        mask = run.mask(self.device)
        if mask is not None:
            bias = bias.masked_fill(~mask[:, None, None, :], torch.finfo(bias.dtype).min)
        flat: Tensor = run.flatten(_first(layer(run.spread(states), position_bias=bias)))
        return flat

    def _layer_weights(self) -> dict[str, Tensor]:
        """Name within a layer -> its (empty) tensor; what only the first layer has is not among them."""
        first = self.transformer.get_submodule(f"{self._parts.layers}.0").state_dict()
        shared = self._parts.position_bias or ""
        return {n: t for n, t in first.items() if f"{self._parts.layers}.0.{n}" != f"{shared}.weight"}

    def _kept_dtype(self, weight: Tensor) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bf16" and weight.ndim > 1 else torch.float32

    def _slot(self) -> nn.Module:
        """A layer with memory that is filled again and again."""
        layer: nn.Module = deepcopy(self.transformer.get_submodule(f"{self._parts.layers}.0")).requires_grad_(False)
        made = {
            n: torch.empty(t.shape, dtype=self._kept_dtype(t), device=self.device)
            for n, t in self._layer_weights().items()
        }
        layer.load_state_dict(made, assign=True, strict=False)
        return layer

    @torch.inference_mode()
    def _load(self, number: int, layer: nn.Module) -> nn.Module:
        """Fill a slot with layer ``number`` (from 1)."""
        prefix = f"{self._parts.layers}.{number - 1}."
        stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            held = layer.state_dict()
            for name in self._layer_weights():
                self._read(self._names[prefix + name], held[name])
        return layer

    def _read(self, name: str, into: Tensor) -> None:
        """A weight of the files into memory of any device and dtype."""
        stored = self.files.stored[name]
        if into.device.type == "cpu" and into.dtype == stored.dtype:
            self.files.read(name, into)
            return
        if self._staging.numel() < stored.num_bytes:
            pinned = self.device.type == "cuda"
            self._staging = torch.empty(stored.num_bytes, dtype=torch.uint8, pin_memory=pinned)
        staged = self._staging[: stored.num_bytes].view(stored.dtype).view(stored.shape)
        self.files.read(name, staged)
        into.copy_(staged)

    def _whole(self, module: str, leave_out: str = "") -> nn.Module:
        """A module outside the layers with its weights, float32."""
        made: nn.Module = deepcopy(self.transformer.get_submodule(module)).requires_grad_(False)
        weights = {}
        for name, empty in made.state_dict().items():
            full = f"{module}.{name}"
            if not leave_out or not full.startswith(f"{leave_out}."):
                weights[name] = torch.empty(empty.shape, device=self.device)
                self._read(self._names[full], weights[name])
        made.load_state_dict(weights, assign=True, strict=False)
        return made.eval()

    def _found_names(self) -> dict[str, str]:
        """The encoder's name of each weight -> its name in the files."""
        family = FAMILIES.get(str(self.config.model_type))
        prefixes = ["", *([f"{family.prefix}."] if family else [])]
        found, missing = {}, []
        for name, empty in self.transformer.state_dict().items():
            if name == "encoder.embed_tokens.weight":  # of text-to-text models: the same matrix as ``shared``
                continue
            names = [name, *(name.replace(ours, old) for ours, old in _OLD_NAMES.items() if name.endswith(ours))]
            names += ["encoder.embed_tokens.weight"] if name == "shared.weight" else []
            there = next((p + n for p in prefixes for n in names if p + n in self.files.stored), None)
            if there is None:
                missing.append(name)
                continue
            if self.files.stored[there].shape != tuple(empty.shape):
                raise ModelError(
                    f"{there} has shape {self.files.stored[there].shape}, but config.json says {tuple(empty.shape)}",
                    where=str(self.folder),
                )
            found[name] = there
        if missing:
            raise ModelError(
                f"{len(missing)} of the encoder's weights are missing, such as {', '.join(sorted(missing)[:3])}",
                where=str(self.folder),
                hint="the folder's weights and its config.json are not of the same model, or the download is incomplete",
            )
        return found


class _Rows(nn.Module):
    """An embedding matrix of which only some rows are there."""

    def __init__(self, ids: Tensor, rows: Tensor) -> None:
        super().__init__()
        self.ids, self.rows = ids, rows

    def forward(self, input_ids: Tensor) -> Tensor:
        """Any shape, to that shape x H float32."""
        return nn.functional.embedding(torch.searchsorted(self.ids, input_ids), self.rows).float()


def _runs(states: Tensor, layout: Layout) -> Iterator[tuple[Tensor, Any]]:
    return zip(layout.split(states), layout.runs, strict=True)


def _first(found: Any) -> Tensor:
    """The hidden states of what a layer gives: alone, or before a position bias."""
    states: Tensor = found if isinstance(found, Tensor) else found[0]
    return states
