"""What training and inference hold, by the way ``training.loop``, ``models.trained_rows`` and ``inference.predict`` work.

Weights are float32 always (bf16 is autocast). On a CPU they are used where they lie in their file until an update changes
them. Counts of what one token leaves behind were read off the code of the layers and checked against measured peaks
(``benchmarks.memory_plan``); what is not measured yet is marked in ``docs/large-models.md``.

Shape legend: T tokens of a micro-batch; L its longest sequence; H hidden size; F inner size; h heads; V vocabulary; K trained
rows of it; R positions a head reads; C outputs of the head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from xstilts.memory.dimensions import Dimensions
from xstilts.memory.need import WIDENED, Need

FLOAT = 4
_INDEX = 8
PROCESS = 310 * 2**20
"""What Python holds once torch and transformers are imported and have computed something."""
TOKENIZER_FACTOR = 33
"""A loaded tokenizer is so much larger than its tokenizer.json (XLM-R's 9.6 MB: 305 MiB)."""
ROW_FACTOR = 4
"""Rows as Python objects and as sub-words are so much larger than their file."""
CONTEXT = 600 * 2**20
"""What CUDA itself holds on a device: its context and the workspaces of its libraries."""
LORA_RANK = 16


@dataclass(frozen=True)
class How:
    """How a model is run; the parts of it that can be changed to make it fit.

    Args:
        device: ``cpu`` or ``cuda``.
        precision: ``bf16`` for autocast.
        tokens: sub-words in one forward pass, at most.
        checkpointing: activations of a layer are computed again in the backward pass.
        lora: the rank of what is trained instead of the weights; 0 for full training.
        small_moments: the optimizer's two moments in eight bits each: planned only, torch has no such optimizer.
        shards: processes among which weights, gradients and moments are cut.
        streaming: layers are read one by one (inference).
    """

    device: Literal["cpu", "cuda"] = "cpu"
    precision: str = "fp32"
    tokens: int = 4096
    checkpointing: bool = False
    lora: int = 0
    small_moments: bool = False
    shards: int = 1
    streaming: bool = False


@dataclass(frozen=True)
class Work:
    """What is run through the model.

    Args:
        step_tokens: sub-words of one optimizer step, at most; 0 for inference.
        longest: L.
        unit_tokens: sub-words that are never parted (the choices of an example).
        reads: positions a head reads, as a share of T.
        outputs: C.
        trained_rows: K; ``None`` for the whole matrix.
        target_tokens: of a decoder, as a share of T.
        keeps_best: whether a copy of the best weights is held.
        dropout: of attention weights: they are then written down.
        pooled: whether the head has a dense layer of H x H.
        row_bytes: of the files whose rows are in memory together.
        tokenizer_bytes: of tokenizer.json.
        converted: whether the weights in the files are not float32, so that they cannot be used where they lie.
        copies: of the model that are in memory beside each other.
    """

    longest: int
    step_tokens: int = 0
    unit_tokens: int = 0
    reads: float = 1.0
    outputs: int = 1
    trained_rows: int | None = None
    target_tokens: float = 0.0
    keeps_best: bool = False
    dropout: float = 0.1
    pooled: bool = True
    row_bytes: int = 0
    tokenizer_bytes: int = 0
    converted: bool = False
    copies: int = 1

    def tokens(self, budget: int) -> int:
        """T of the largest micro-batch under a budget."""
        most = max(budget, self.unit_tokens, self.longest)
        return min(most, self.step_tokens) if self.step_tokens else most

    @property
    def process(self) -> dict[str, int]:
        """What the process holds without a model."""
        return {
            "process": PROCESS + TOKENIZER_FACTOR * self.tokenizer_bytes,
            "rows": ROW_FACTOR * self.row_bytes,
        }


def saved_by_layer(of: Dimensions, work: Work, how: How, tokens: int) -> int:
    """Bytes that one layer leaves for its backward pass.

    In float32: its input, query, key, value, what was attended to, two dropout masks, two sums, one norm's output (10 H) and
    the wide product before and after its activation (2 F; gated 4 F); with dropout on a CPU also the L x L weights of
    attention and their mask, twice (query, key and value are copied into blocks). Under bf16 half of these are two bytes
    wide, norms and sums are not.
    """
    wide = (4 if of.gated else 2) * of.inner
    item = FLOAT if how.precision == "fp32" else 2
    weights = 2 * of.heads * work.longest * item if work.dropout and how.device == "cpu" else 0
    if how.precision == "fp32":
        return tokens * (FLOAT * (10 * of.hidden + wide) + weights)
    return tokens * (FLOAT * 4 * of.hidden + 2 * (8 * of.hidden + wide) + weights)


def activations(of: Dimensions, work: Work, how: How, tokens: int) -> int:
    """Bytes between a forward pass and the end of its backward pass, and what the backward pass of a layer adds."""
    layer = saved_by_layer(of, work, how, tokens)
    target = saved_by_layer(of, work, how, int(tokens * work.target_tokens))
    backward = FLOAT * tokens * (2 * of.inner + 2 * of.hidden)
    embedded = FLOAT * 3 * tokens * of.hidden
    if how.checkpointing:
        kept = (
            FLOAT * tokens * of.hidden * of.layers
            + FLOAT * int(tokens * work.target_tokens) * of.hidden * of.decoder_layers
        )
        return kept + max(layer, target) + backward + embedded
    # What the last layer does after its attention is done where a head reads.
    last = layer if of.decoder_layers or work.reads >= 1 else int(layer * (0.5 + 0.5 * work.reads))
    return (of.layers - 1) * layer + last + of.decoder_layers * target + backward + embedded


def forward_only(of: Dimensions, work: Work, how: How, tokens: int) -> int:
    """Bytes of a forward pass that nothing is learned from: what one layer works with."""
    return FLOAT * tokens * ((2 if of.gated else 1) * of.inner + 6 * of.hidden)


def logits(work: Work, tokens: int) -> int:
    """Bytes of a head's outputs, their softmax and its gradient."""
    return 3 * FLOAT * int(tokens * work.reads) * work.outputs


def head_parameters(of: Dimensions, work: Work) -> int:
    """Of a head of ours; a masked-LM head shares its output matrix."""
    outputs = 0 if work.outputs >= of.vocabulary else of.hidden * work.outputs
    return (of.hidden**2 if work.pooled else 0) + outputs


def lora_parameters(of: Dimensions, rank: int) -> int:
    """Of two thin matrices beside every linear map of a layer: four of H x H, two (gated: three) of H x F."""
    wide = 3 if of.gated else 2
    return rank * (of.layers + of.decoder_layers) * (8 * of.hidden + wide * (of.hidden + of.inner))


def training(of: Dimensions, work: Work, how: How) -> Need:
    """The memory of one training process."""
    tokens = work.tokens(how.tokens)
    head = head_parameters(of, work)
    everything = of.parameters + head
    rows = of.vocabulary if work.trained_rows is None else min(work.trained_rows, of.vocabulary)
    met = everything - (of.vocabulary - rows) * of.hidden
    trained = lora_parameters(of, how.lora) + head if how.lora else met
    # On a CPU what is never written stays in its file; the rest is the process's own from the first update on.
    on_gpu, partly = how.device == "cuda", not how.lora and rows < of.vocabulary
    still = everything - trained if how.lora else of.embedding if partly else 0
    own = trained + (still if on_gpu or work.converted else 0)
    gathered = 2 * FLOAT * of.layer_parameters + FLOAT * of.embedding if how.shards > 1 else 0
    copies = 2 * of.every_layer if how.precision == "bf16" and how.shards == 1 else 0
    held = {
        "weights": FLOAT * own // how.shards + gathered + copies + (_INDEX * of.vocabulary if partly else 0),
        "optimizer": (2 if how.small_moments else 2 * FLOAT) * trained // how.shards,
    }
    gradients = FLOAT * trained // how.shards
    best = {"best weights": FLOAT * (trained if not how.lora else everything) // how.shards if work.keeps_best else 0}
    moving = {"activations": activations(of, work, how, tokens), "logits": logits(work, tokens)}
    grown = {"gradients": gradients}
    # A step in one part gives up activations as gradients come; gradients of earlier parts lie beside the next activations.
    backward = {**moving, **grown} if work.step_tokens > tokens else moving
    base = work.process
    if how.device == "cuda":
        card = {"context": CONTEXT, **held}
        host = {
            "train": {**base, **best},
            "save": {**base, **best, "copy to save": 2 * FLOAT * trained // how.shards},
            "hand over": {**base, **best, "copy to save": FLOAT * everything},
        }
        return Need({"backward": {**card, **backward}, "update": {**card, **grown}}, host=host)
    moments = {"backward": {**base, **held, **backward, **best}, "update": {**base, **held, **grown, **best}}
    if partly and not work.converted:
        # At the end every row of the matrix decays where it lies, and its pages become the process's own. What was freed
        # before in small pieces is not given back to the system by then.
        fullest = max(moments.values(), key=lambda parts: sum(parts.values()))
        moments["hand over"] = {**fullest, WIDENED: FLOAT * still}
    return Need(moments, mapped=0 if work.converted else FLOAT * still)


def inference(of: Dimensions, work: Work, how: How) -> Need:
    """The memory of one process that answers."""
    tokens = work.tokens(how.tokens)
    weights = FLOAT * (of.parameters + head_parameters(of, work))
    moving = {"activations": forward_only(of, work, how, tokens), "logits": logits(replace(work, dropout=0.0), tokens)}
    if how.streaming:
        # One layer computes while the next is read; what is looked up of the embeddings stays in its file.
        weights = 2 * FLOAT * max(of.layer_parameters, of.decoder_layer_parameters)
    cast = 2 * of.every_layer if how.precision == "bf16" and not how.streaming else 0
    if how.device == "cuda":
        held = {"context": CONTEXT, "weights": work.copies * (weights // how.shards + cast)}
        host = {"read": {name: work.copies * size for name, size in work.process.items()}}
        return Need({"answer": {**held, **{name: work.copies * size for name, size in moving.items()}}}, host=host)
    own = weights if work.converted or how.streaming else 0
    each = {**work.process, "weights": own + cast, **moving}
    mapped = 0 if work.converted or how.streaming else weights
    return Need({"answer": {name: work.copies * size for name, size in each.items()}}, mapped=mapped)
