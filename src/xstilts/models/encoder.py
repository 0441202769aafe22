"""An encoder over flat batches: packed for verified families, padded for every other ``AutoModel``, one interface.

Shape legend: T tokens of all sequences end to end; H hidden size; n sequences of a run; L its longest length; R positions
read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from xstilts.batching.batch import Batch
from xstilts.errors import ModelError
from xstilts.models.families import execution_of
from xstilts.models.layout import Layout, arrange
from xstilts.models.packed_attention import NAME, Packing
from xstilts.models.precision import Precision
from xstilts.shapes import AFTER_PADDING, longest_sequence

States = list[Tensor]


class _ReachedError(Exception):
    """Ends a forward pass whose wanted layers are all there."""


class Encoder(nn.Module):
    """A transformers encoder whose execution was chosen when it was loaded (see ``loading.load_encoder``).

    There is no switch: ``execution`` follows from the config, and both executions refuse a transformer that was changed
    to attend differently afterwards.

    Args:
        transformer: an encoder without head; float32 weights.
        precision: ``bf16`` runs under autocast.
    """

    def __init__(self, transformer: Any, precision: Precision = "fp32") -> None:
        super().__init__()
        self.transformer = transformer
        self.precision: Precision = precision
        self.execution = execution_of(transformer.config)
        self._stack = _layer_stack(transformer)
        self._takes_types = "token_type_ids" in signature(type(transformer).forward).parameters

    @property
    def config(self) -> Any:
        """The transformers config."""
        return self.transformer.config

    @property
    def num_layers(self) -> int:
        """Transformer layers, the embeddings not counted."""
        return int(self.config.num_hidden_layers)

    @property
    def hidden_size(self) -> int:
        """H."""
        return int(self.config.hidden_size)

    @property
    def max_length(self) -> int | None:
        """The longest sequence in sub-words; ``None`` where the config does not limit it."""
        numbered, padding = (getattr(self.config, name, None) for name in ("max_position_embeddings", "pad_token_id"))
        return longest_sequence(str(self.config.model_type), numbered, padding)

    @property
    def padding_id(self) -> int:
        """What fills a padded block; never attended to."""
        return getattr(self.config, "pad_token_id", None) or 0

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.transformer.parameters()).device
        return device

    def forward(self, batch: Batch) -> Tensor:
        """The last hidden states, T x H float32, in the batch's order.

        Raises:
            ModelError: a sequence is empty or longer than ``max_length``, or the transformer inside was changed.
        """
        return self._execute(batch, self._last, self.num_layers)[0]

    def read(self, batch: Batch) -> Tensor:
        """The last hidden states at ``batch.read``, R x H float32.

        What the last layer does after its attention, three quarters of its work, is done at these positions only (packed
        families; others compute all and pick).
        """
        if self.execution.kind == "padded" or self._stack is None:
            states: Tensor = self(batch)
            return states[batch.read]
        self.check(batch)
        layout = arrange(batch.lengths, batch.input_ids.device)
        with self.autocast(batch.input_ids.device), only_rows(self._stack[-1], layout.sorted_places(batch.read)):
            (states,) = self._packed(batch, layout, self._last, self.num_layers)
        return states.float()

    def layers(self, batch: Batch, *, up_to: int | None = None) -> States:
        """The embeddings' output, then each layer's, every one T x H float32.

        Layer ``num_layers`` is what ``forward`` returns (with the final LayerNorm of pre-LayerNorm families).

        Args:
            batch: flat sequences.
            up_to: the last layer wanted; layers above it are not run (a family whose layers are not one ``ModuleList``
                runs them all and drops the rest).
        """
        up_to = self.num_layers if up_to is None else up_to
        if not 0 <= up_to <= self.num_layers:
            raise ModelError(f"layer {up_to} was asked for, but the encoder has layers 0 to {self.num_layers}")
        return self._execute(batch, partial(self._states, up_to=up_to), up_to)

    def layer(self, batch: Batch, number: int) -> Tensor:
        """The hidden states of one layer, T x H float32; those of the layers below are not kept, those above not run."""
        if not 0 <= number <= self.num_layers:
            raise ModelError(f"layer {number} was asked for, but the encoder has layers 0 to {self.num_layers}")
        return self._execute(batch, partial(self._states, up_to=number, all_of_them=False), number)[0]

    @property
    def stack(self) -> nn.ModuleList | None:
        """The layers, the first one first; ``None`` where they do not stand in one list."""
        return self._stack

    @property
    def ends_early(self) -> bool:
        """Whether layers above the one asked for are really not run: they stand in one list."""
        return self._stack is not None

    def _execute(self, batch: Batch, call: Callable[..., States], num_layers: int) -> States:
        self.check(batch)
        packed = self.execution.kind == "packed"
        layout = arrange(batch.lengths, batch.input_ids.device, whole_model=not packed)
        with self.autocast(batch.input_ids.device):
            states = self._packed(batch, layout, call, num_layers) if packed else self._padded(batch, layout, call)
        return [layout.restore(state).float() for state in states]

    def autocast(self, device: torch.device) -> torch.autocast:
        """What its layers run under."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _packed(self, batch: Batch, layout: Layout, call: Callable[..., States], num_layers: int) -> States:
        if self.config._attn_implementation != NAME:
            raise ModelError(
                f"a packed encoder attends by {self.config._attn_implementation!r}, so sequences would see each other",
                hint="load the encoder again; do not change the attention of the transformers model inside it",
            )
        packing = Packing(layout)
        states = call(**self.packed_inputs(batch, layout), packing=packing)
        if packing.calls != num_layers:
            raise ModelError(f"{num_layers} layers ran but {packing.calls} attended within their sequences")
        return [state[0] for state in states]

    def packed_inputs(self, batch: Batch, layout: Layout) -> dict[str, Tensor]:
        """What the embeddings of a packed family take: 1 x T each, sorted as ``layout`` says."""
        ids = layout.sort(batch.input_ids)
        return {
            "input_ids": ids[None],
            "position_ids": self._positions(ids, layout)[None],
            "token_type_ids": layout.sort(self._types(batch))[None],
        }

    def _padded(self, batch: Batch, layout: Layout, call: Callable[..., States]) -> States:
        """One padded forward pass for each run of near lengths."""
        ids, types = layout.sort(batch.input_ids), layout.sort(self._types(batch))
        parts: list[States] = []
        for run, own_ids, own_types in zip(layout.runs, layout.split(ids), layout.split(types), strict=True):
            block, mask = run.spread(own_ids), run.mask(ids.device)
            if mask is not None:
                block = block.masked_fill(~mask, self.padding_id)
            inputs = {"attention_mask": torch.ones_like(block) if mask is None else mask.to(block.dtype)}
            if self._takes_types:
                inputs["token_type_ids"] = run.spread(own_types)
            parts.append([run.flatten(state) for state in call(input_ids=block, **inputs)])
        return [torch.cat(states) for states in zip(*parts, strict=True)]

    def _positions(self, ids: Tensor, layout: Layout) -> Tensor:
        """Position numbers of the sorted row, as the family's own embeddings number a padded batch."""
        if str(self.config.model_type) not in AFTER_PADDING:
            return layout.positions
        # A padding id inside a text (its author wrote "<pad>") keeps the padding position and is not counted.
        pad, real = int(self.config.pad_token_id), ids.ne(self.config.pad_token_id)
        counted = real.cumsum(0)
        first = torch.arange(len(ids), device=ids.device) - layout.positions
        before = counted[first] - real[first].long()
        return (counted - before) * real + pad

    def _types(self, batch: Batch) -> Tensor:
        """Type ids, zero for a family that knows one type or none."""
        known = getattr(self.config, "type_vocab_size", 0) or 0
        return batch.type_ids if known > 1 else torch.zeros_like(batch.type_ids)

    def check(self, batch: Batch) -> None:
        """Raise ``ModelError`` for a batch that the encoder cannot number, or that contradicts itself."""
        if not batch.lengths or min(batch.lengths) < 1:
            raise ModelError("a batch needs at least one sequence, and every sequence at least one sub-word")
        if sum(batch.lengths) != batch.num_tokens:
            raise ModelError(
                f"the batch's lengths add up to {sum(batch.lengths)}, but it has {batch.num_tokens} tokens"
            )
        limit = self.max_length
        if limit is not None and max(batch.lengths) > limit:
            raise ModelError(
                f"a sequence of {max(batch.lengths)} sub-words exceeds the {limit} positions of this encoder",
                hint=f"set encoding.max_length to at most {limit}",
            )

    def _last(self, **inputs: Any) -> States:
        return [self.transformer(**inputs, return_dict=True).last_hidden_state]

    def _states(self, *, up_to: int, all_of_them: bool = True, **inputs: Any) -> States:
        if self._stack is None:
            output = self.transformer(**inputs, return_dict=True, output_hidden_states=True)
            return list(output.hidden_states[: up_to + 1] if all_of_them else output.hidden_states[up_to : up_to + 1])
        states: States = []
        with _inputs_of_layers(self._stack, states, up_to, all_of_them=all_of_them):
            last = self._last(**inputs)
            states[:] = [*states, *last] if all_of_them else last
        return states


@contextmanager
def only_rows(layer: nn.Module, rows: Tensor) -> Iterator[None]:
    """Within, the layer goes on with ``rows`` of its 1 x T tokens once they have attended to each other.

    All that follows looks at one token at a time: the output projection with its residual, the feed-forward part, norms.
    """

    def pick(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(states.index_select(1, rows) for states in args)  # what was attended to, and the layer's input

    hook = layer.get_submodule("attention.output").register_forward_pre_hook(pick)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _inputs_of_layers(stack: nn.ModuleList, states: States, up_to: int, *, all_of_them: bool) -> Iterator[None]:
    """Collect the input of layer 1, 2, ... in ``states``; end the forward pass before layer ``up_to + 1`` runs.

    Without ``all_of_them`` only the newest is kept.

    The input of layer k + 1 is what transformers calls the hidden states of layer k.
    """

    seen = 0

    def before(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        nonlocal seen
        if not all_of_them:
            states.clear()
        states.append(args[0] if args else named["hidden_states"])
        seen += 1
        if seen > up_to:
            raise _ReachedError

    hooks = [layer.register_forward_pre_hook(before, with_kwargs=True) for layer in stack]
    try:
        yield
    except _ReachedError:
        pass
    finally:
        for hook in hooks:
            hook.remove()


def _layer_stack(transformer: nn.Module) -> nn.ModuleList | None:
    """The one list of layers of the encoder, or ``None`` (layers that are shared or live elsewhere)."""
    wanted = int(transformer.config.num_hidden_layers)  # type: ignore[arg-type, union-attr]
    lists = [m for m in transformer.modules() if isinstance(m, nn.ModuleList) and len(m) == wanted]
    return lists[0] if len(lists) == 1 else None
