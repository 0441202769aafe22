"""What training and inference hold, by the way ``training.loop``, ``models.trained_rows`` and ``inference.predict`` work.

Weights are float32 always (bf16 is autocast). On a CPU they are used where they lie in their file until an update changes
them. Counts of what one token leaves behind were read off the code of the layers and checked against measured peaks
(``benchmarks.memory_plan``); what is not measured yet is marked in ``docs/large-models.md``.

Shape legend: T tokens of a micro-batch; L its longest sequence; H hidden size; F inner size; h heads; V vocabulary; K trained
rows of it; R positions a head reads; C outputs of the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xstilts.hyperparameters import Lora
from xstilts.memory.dimensions import Dimensions
from xstilts.memory.need import GAPS, WIDENED, Need

FLOAT = 4
_INDEX = 8
PROCESS = 320 * 2**20
"""What Python holds once torch and transformers are imported (280 MiB) and rows were cut into sub-words (40 more)."""
IMPORTED = 285 * 2**20
"""The same before any row was cut."""
TOKENIZER_FACTOR = 34
"""A loaded tokenizer is so much larger than its tokenizer.json (XLM-R's 9.2 MiB: 308 MiB) ..."""
LOADING_FACTOR = 46
"""... and while it is loaded, by so much: its JSON lies beside what is made of it. Small models are at their fullest then."""
ROW_FACTOR = 4
"""Rows as Python objects and as sub-words are so much larger than their file."""
CONTEXT = 600 * 2**20
"""What CUDA itself holds on a device: its context and the workspaces of its libraries."""
ADAPTERS = Lora(rank=16)
"""What is meant where only LoRA is spoken of."""
HEAP_PIECE = 32 * 2**20
"""The C library (glibc) gives larger tensors pages of their own, and takes these back at once. Others lie in one heap."""
HOLES = 0.18
"""The heap keeps gaps: what a layer leaves for its backward pass lies between what it used and freed, and not all that comes
later fits into these. 0.15 to 0.22 of what is left, for three sizes; none with ``MALLOC_MMAP_THRESHOLD_=262144``."""
CUT = 0.16
"""What is allocated into the space that activations leave, and stays, cuts it up: so much of what the next pass leaves has no
place there any more. Moments do it, and in a step of several parts the gradients of the first do too."""


@dataclass(frozen=True)
class How:
    """How a model is run; the parts of it that can be changed to make it fit.

    Args:
        device: ``cpu`` or ``cuda``.
        precision: ``bf16`` for autocast.
        tokens: sub-words in one forward pass, at most.
        checkpointing: activations of a layer are computed again in the backward pass.
        lora: the adapters that are trained instead of the weights.
        small_moments: the optimizer's two moments in eight bits each: planned only, torch has no such optimizer.
        shards: processes among which weights, gradients and moments are cut.
        streaming: layers are read one by one (inference).
    """

    device: Literal["cpu", "cuda"] = "cpu"
    precision: str = "fp32"
    tokens: int = 4096
    checkpointing: bool = False
    lora: Lora | None = None
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
        keeps_best: whether a copy of the best weights is held.
        dropout: of attention weights: they are then written down.
        pooled: whether the head has a dense layer of H x H.
        row_bytes: of the files whose rows are in memory together.
        tokenizer_bytes: of tokenizer.json.
        converted: whether the weights in the files are not float32, so that they cannot be used where they lie.
        copies: of the model that are in memory beside each other.
        decays: whether weights decay, also those that no text meets.
        streamed_tokens: sub-words of all rows together, which streaming passes through a layer at a time.
        written: sub-words of the longest text that is written; 0 for an encoder.
        factored: whether the optimizer keeps a number for each row and column (Adafactor), not two for each weight.
    """

    longest: int
    step_tokens: int = 0
    unit_tokens: int = 0
    reads: float = 1.0
    outputs: int = 1
    trained_rows: int | None = None
    keeps_best: bool = False
    dropout: float = 0.1
    pooled: bool = True
    row_bytes: int = 0
    tokenizer_bytes: int = 0
    converted: bool = False
    copies: int = 1
    decays: bool = True
    streamed_tokens: int = 0
    written: int = 0
    factored: bool = False

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

    @property
    def loading(self) -> dict[str, int]:
        """What it holds while the tokenizer is loaded: the model is there by then, but in its files."""
        return {"process": IMPORTED + LOADING_FACTOR * self.tokenizer_bytes, "rows": ROW_FACTOR * self.row_bytes}


def saved_by_layer(of: Dimensions, work: Work, how: How, tokens: int) -> int:
    """Bytes that one layer leaves for its backward pass.

    In float32: its input, query, key, value, what was attended to, two dropout masks, two sums, one norm's output (10 H) and
    the wide product before and after its activation (2 F; gated 4 F); with dropout on a CPU also the L x L weights of
    attention and their mask, twice (query, key and value are copied into blocks). Under bf16 half of these are two bytes
    wide, norms and sums are not. A frozen layer does not keep what goes into it, an adapter does (``_of_adapters``).
    """
    return sum(count * size for count, size in _pieces(of, work, how, tokens))


def _pieces(of: Dimensions, work: Work, how: How, tokens: int) -> list[tuple[int, int]]:
    """The same as tensors: how many there are of a size in bytes."""
    item, on_cpu = (FLOAT if how.precision == "fp32" else 2), how.device == "cpu"
    weights = work.dropout and on_cpu
    states, wide = (10, 4 if of.gated else 2) if how.lora is None else _of_adapters(how.lora)
    narrow = [(states, FLOAT)] if how.precision == "fp32" else [(4, FLOAT), (states - 2, 2)]
    return [
        *((count, size * tokens * of.hidden) for count, size in narrow),
        (wide, item * tokens * of.inner),
        *([(2, item * tokens * of.heads * work.longest)] if weights else []),
    ]


def _of_adapters(lora: Lora) -> tuple[int, int]:
    """How often a layer with adapters leaves H and F numbers for a token: 7 and 1 of it were there anyway.

    An adapter keeps what goes into it, and with dropout a mask and a copy of its own; without, those of query, key and value
    are one tensor. (And ``rank`` numbers, which are few.)
    """
    inner, own = [name for name in lora.targets if name != "output"], 2 if lora.dropout else 1
    inputs = (
        own * len(inner) if lora.dropout else len({"query" if name in ("key", "value") else name for name in inner})
    )
    return 7 + inputs, 1 + own * ("output" in lora.targets)


def in_heap(of: Dimensions, work: Work, how: How, tokens: int) -> float:
    """The share of what a layer leaves that lies in tensors too small for pages of their own."""
    pieces = _pieces(of, work, how, tokens)
    return sum(n * size for n, size in pieces if size <= HEAP_PIECE) / sum(n * size for n, size in pieces)


def activations(of: Dimensions, work: Work, how: How, tokens: int) -> int:
    """Bytes between a forward pass and the end of its backward pass, and what the backward pass of a layer adds."""
    layer = saved_by_layer(of, work, how, tokens)
    backward = FLOAT * tokens * (2 * of.inner + 2 * of.hidden)
    embedded = FLOAT * 3 * tokens * of.hidden
    if how.checkpointing:
        return FLOAT * tokens * of.hidden * of.layers + layer + backward + embedded
    # What the last layer does after its attention is done where a head reads.
    last = layer if work.reads >= 1 else int(layer * (0.5 + 0.5 * work.reads))
    return (of.layers - 1) * layer + last + backward + embedded


def forward_only(of: Dimensions, work: Work, how: How, tokens: int) -> int:
    """Bytes of a forward pass that nothing is learned from: what one layer works with.

    In its feed-forward part it holds its input, what was attended to, the wide product, and the output before and after its
    norm; oneDNN (on a CPU) lays the weight anew for each product of float32.
    """
    laid_anew = FLOAT * of.hidden * of.inner if how.device == "cpu" and how.precision == "fp32" else 0
    return FLOAT * tokens * ((2 if of.gated else 1) * of.inner + 6 * of.hidden) + laid_anew


def logits(work: Work, tokens: int) -> int:
    """Bytes of a head's outputs, their softmax and its gradient."""
    return 3 * FLOAT * int(tokens * work.reads) * work.outputs


def head_parameters(of: Dimensions, work: Work) -> int:
    """Of a head of ours; a masked-LM head shares its output matrix."""
    outputs = 0 if work.outputs >= of.vocabulary else of.hidden * work.outputs
    return (of.hidden**2 if work.pooled else 0) + outputs


def lora_parameters(of: Dimensions, lora: Lora) -> int:
    """Of two thin matrices beside every linear map that is adapted: of H x H numbers, or of H x F."""
    wide = sum(name in ("intermediate", "output") for name in lora.targets)
    return lora.rank * of.layers * ((len(lora.targets) - wide) * 2 * of.hidden + wide * (of.hidden + of.inner))


def _merged(of: Dimensions, lora: Lora) -> dict[str, int]:
    """Merged weights are made beside the frozen ones."""
    wide = sum(name in ("intermediate", "output") for name in lora.targets)
    return {"merged": FLOAT * of.layers * of.hidden * ((len(lora.targets) - wide) * of.hidden + wide * of.inner)}


def training(of: Dimensions, work: Work, how: How) -> Need:
    """The memory of one training process."""
    tokens = work.tokens(how.tokens)
    head = head_parameters(of, work)
    everything = of.parameters + head
    rows = of.vocabulary if work.trained_rows is None else min(work.trained_rows, of.vocabulary)
    met = everything - (of.vocabulary - rows) * of.hidden
    beside = lora_parameters(of, how.lora) if how.lora else 0
    trained = beside + head + (rows * of.hidden if how.lora.embeddings else 0) if how.lora else met
    # On a CPU what is never written stays in its file; the rest is the process's own from the first update on.
    on_gpu, partly = how.device == "cuda", not how.lora and rows < of.vocabulary
    still = of.parameters if how.lora else of.embedding if partly else 0
    own = trained + (still if on_gpu or work.converted else 0)
    gathered = 2 * FLOAT * of.layer_parameters + FLOAT * of.embedding if how.shards > 1 else 0
    copies = 2 * of.every_layer if how.precision == "bf16" and how.shards == 1 else 0
    held = {
        "weights": FLOAT * own // how.shards + gathered + copies + (_INDEX * of.vocabulary if partly else 0),
        "optimizer": (2 if how.small_moments else 2 * FLOAT) * trained // how.shards,
    }
    gradients = FLOAT * trained // how.shards
    best = {"best weights": FLOAT * trained // how.shards if work.keeps_best else 0}
    moving = {"activations": activations(of, work, how, tokens), "logits": logits(work, tokens)}
    grown = {"gradients": gradients}
    # A step in one part gives up activations as gradients come; gradients of earlier parts lie beside the next activations.
    parted = work.step_tokens > tokens
    backward = {**moving, **grown} if parted else moving
    base = work.process
    if how.device == "cuda":
        card = {"context": CONTEXT, **held}
        host = {
            "load": work.loading,
            "train": {**base, **best},
            "save": {**base, **best, "copy to save": 2 * FLOAT * trained // how.shards},
            "hand over": {**base, **best, "copy to save": FLOAT * everything},
        }
        return Need({"backward": {**card, **backward}, "update": {**card, **grown}}, host=host)
    heaped = int(moving["activations"] * in_heap(of, work, how, tokens))
    gaps = {GAPS: int(heaped * (HOLES + CUT * (2 if parted else 1)))}
    moments = {
        "load": {**work.loading, "weights": FLOAT * everything if work.converted else 0},
        "backward": {**base, **held, **backward, **gaps, **best},
        "update": {**base, **held, **grown, **best},
    }
    if partly and work.decays and not work.converted:
        # At the end every row of the matrix decays where it lies, and its pages become the process's own. By then the heap
        # has not given back what activations took in small pieces: gradients, which are still there, cut it up.
        moments["hand over"] = {**base, **held, **grown, "activations": heaped, **best, WIDENED: FLOAT * still}
    if how.lora:
        moments["hand over"] = {**base, **held, **grown, "activations": heaped, **best, **_merged(of, how.lora)}
    return Need(moments, mapped=0 if work.converted else FLOAT * still)


def inference(of: Dimensions, work: Work, how: How) -> Need:
    """The memory of one process that answers."""
    if how.streaming:
        return streamed(of, work, how)
    tokens = work.tokens(how.tokens)
    weights = FLOAT * (of.parameters + head_parameters(of, work))
    moving = {"activations": forward_only(of, work, how, tokens), "logits": logits(work, tokens)}
    cast = 2 * of.every_layer if how.precision == "bf16" else 0
    if how.device == "cuda":
        held = {"context": CONTEXT, "weights": work.copies * (weights // how.shards + cast)}
        host = {"read": {name: work.copies * size for name, size in work.loading.items()}}
        return Need({"answer": {**held, **{name: work.copies * size for name, size in moving.items()}}}, host=host)
    own = weights if work.converted else 0
    each = {**work.process, "weights": own + cast, **moving}
    answer = {name: work.copies * size for name, size in each.items()}
    return Need({"load": {**work.loading, "weights": own}, "answer": answer}, mapped=0 if work.converted else weights)


def streamed(of: Dimensions, work: Work, how: How) -> Need:
    """The memory of one process that answers with a layer at a time, all rows together (``inference.stream``).

    One layer computes while the next is read. Of the embeddings only the rows of sub-words that occur are there, before the
    first layer. Hidden states lie in memory where they fit, else on a disk: then less is held than this.
    """
    tokens = work.tokens(how.tokens)
    item = 2 if how.precision == "bf16" else FLOAT
    largest = 2 * of.hidden * of.inner if work.converted else 0  # read as it is stored, then widened
    layers = {"weights": 2 * item * of.layer_parameters + largest}
    moving = {"activations": forward_only(of, work, how, tokens), "logits": logits(work, tokens)}
    rows = of.vocabulary if work.trained_rows is None else min(work.trained_rows, of.vocabulary)
    states = {"hidden states": FLOAT * work.streamed_tokens * of.hidden}
    if how.device == "cuda":
        host = {"read": work.loading, "stream": {**work.process, **states}}
        return Need({"answer": {"context": CONTEXT, **layers, **moving}}, host=host)
    begin = {**work.process, "embeddings": FLOAT * rows * of.hidden, **states}
    return Need({"load": work.loading, "embed": begin, "answer": {**work.process, **layers, **moving, **states}})
