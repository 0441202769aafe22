"""From a node of a study to what it will hold in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from xstilts.graph.node import Node
from xstilts.hyperparameters import LORA_FAMILIES, MASKED_LM, Lora
from xstilts.memory.dimensions import Dimensions, dimensions
from xstilts.memory.estimate import How, Work, inference, training
from xstilts.memory.need import Need
from xstilts.memory.texts import text_inference, text_training
from xstilts.task_types import MultipleChoice, Tagging
from xstilts.task_types.casts import cast_of_json
from xstilts.tasks import load

BYTES_A_SUBWORD = 3.5
WINDOWS = 2
"""A question's context may need several windows; so many are counted."""
MEAN_SPAN = 3
"""Sub-words of a span that span corruption takes out (``training.span_corruption``)."""
TAGS = 64
"""Counted where a tagging task finds its tags in its rows; a head of more (CCG has 1,286) is still small."""
TRAININGS = frozenset({"train", "mix", "pretrain"})
HOLDING = TRAININGS | {"predict", "generate", "retrieve", "measure"}
"""Kinds that hold a model; the others read or write one bit by bit, or have none."""
CHARACTERS_A_SUBWORD = 4
"""Of the answers that a task has, which are words of English."""


def writes_text(node: Node) -> bool:
    """Whether a node trains or asks a text-to-text model as such, not its encoder half."""
    settings = node.spec.get("settings", {})
    learned = "batch_tokens" in (node.spec.get("training") or {})
    return node.kind == "generate" or learned or "objective" in settings


def is_sharded(node: Node) -> bool:
    """Whether a group of devices runs the node in one model parted among them; else its first device does, alone.

    Masked LM is not parted: its head is the embedding matrix, which another part of the model holds.
    """
    return node.kind in ("train", "mix") and not writes_text(node) and MASKED_LM not in node.spec.get("parts", {})


def adapts(node: Node, family: str) -> bool:
    """Whether adapters (``training.ROLE.lora``) could be trained in place of the weights."""
    return node.kind in ("train", "mix") and family in LORA_FAMILIES


@dataclass(frozen=True)
class Model:
    """What is known of a model before it is loaded.

    Args:
        of: its sizes.
        tokenizer_bytes: of tokenizer.json.
        converted: whether its files hold other numbers than float32.
    """

    of: Dimensions
    tokenizer_bytes: int = 0
    converted: bool = False


def made(settings: Mapping[str, Any]) -> Model:
    """A model that is made from scratch (``hyperparameters.Pretraining``)."""
    architecture = settings["model"]
    if "objective" in settings:
        return _made_to_write(architecture)
    names = {"hidden_size": "hidden_size", "num_layers": "num_hidden_layers", "num_heads": "num_attention_heads"}
    names |= {"intermediate_size": "intermediate_size", "vocabulary": "vocab_size"}
    config = {theirs: architecture[ours] for ours, theirs in names.items()}
    positions = {"max_position_embeddings": architecture["max_length"] + 2, "type_vocab_size": 1}
    return Model(dimensions({"model_type": "xlm-roberta", **config, **positions}))


def _made_to_write(architecture: Mapping[str, Any]) -> Model:
    """mT5's shape: as many layers in the decoder, one matrix on both sides (``models.text_scratch``)."""
    names = {"hidden_size": "d_model", "num_layers": "num_layers", "num_heads": "num_heads"}
    names |= {"intermediate_size": "d_ff", "vocabulary": "vocab_size"}
    config = {theirs: architecture[ours] for ours, theirs in names.items()}
    heads = {"d_kv": config["d_model"] // config["num_heads"], "relative_attention_num_buckets": 32}
    gated = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": True}
    return Model(dimensions({"model_type": "mt5", **config, **heads, **gated}))


def distinct_subwords(tokens: float, vocabulary: int) -> int:
    """How many rows of the vocabulary a text of one language meets: Heaps' law, V = 13 N^0.52.

    Fitted to XNLI's and XQuAD's English with XLM-R's sub-words (10,728 of 300,000 tokens; 6,512 of 100,000); HellaSwag meets
    fewer. It says too many for very long texts, never beyond the vocabulary.
    """
    return min(vocabulary, int(13 * max(tokens, 1.0) ** 0.52) + 1)


def needs(node: Node, model: Model, how: How, size: Callable[[str], int]) -> Need | None:
    """What a node holds at its fullest; ``None`` for one that loads no model or writes it block by block.

    Args:
        node: of a plan.
        model: that it starts from or asks.
        how: device, micro-batches and the rest.
        size: bytes of the input file with a digest.
    """
    spec, how = node.spec, replace(how, precision=node.spec.get("precision", how.precision))
    known: dict[str, Any] = {"tokenizer_bytes": model.tokenizer_bytes, "converted": model.converted}
    if writes_text(node):
        return _writing(node, model.of, known, how, size)
    model = replace(model, of=model.of.encoder_half)
    match node.kind:
        case "train":
            return training(model.of, replace(_of_rows(spec, model.of, size), **known), _asked(how, spec["training"]))
        case "mix":
            return _mixture(spec, model, how, size)
        case "pretrain":
            text = {"training": spec["settings"]["training"], "text": spec["text"]}
            length = spec["settings"]["model"]["max_length"]
            work = _of_text({**text, "encoding": {"max_length": length}}, model.of, spec["settings"]["mask"], size)
            return training(model.of, replace(work, **known), how)
        case "predict" | "retrieve":
            files = [_bytes(entry, size) for entry in spec["languages"].values()]
            if how.streaming:
                return inference(model.of, replace(_streamed(spec, model.of, sum(files)), **known), how)
            answered = replace(_answered(spec), row_bytes=max(files, default=0), **known)
            return inference(model.of, answered, how)
        case "measure":
            systems = [each["model"] for each in spec["systems"]]
            beside = max(map(systems.count, systems)) if spec["settings"]["together"] else 1
            work = replace(_answered(spec), copies=beside, **known)
            return inference(model.of, work, replace(how, tokens=spec["settings"]["batch_tokens"]))
    return None


def _asked(how: How, settings: Mapping[str, Any]) -> How:
    """What a training's own settings say of how it is run."""
    adapters = settings.get("lora")
    return how if adapters is None else replace(how, lora=Lora.model_validate(adapters))


def _bytes(entry: Mapping[str, Any], size: Callable[[str], int]) -> int:
    files = entry.get("files") or ([entry] if "sha256" in entry else [])
    return sum(size(file["sha256"]) for file in files)


def _of_rows(spec: Mapping[str, Any], of: Dimensions, size: Callable[[str], int]) -> Work:
    """One task that is learned from its rows."""
    task_type, length = load(spec["task"]).type, int(spec["encoding"]["max_length"])
    head = task_type.head
    unit = length * (task_type.num_choices if isinstance(task_type, MultipleChoice) else 1)
    windows = WINDOWS if task_type.name == "span" else 1
    read = _bytes(spec, size)
    rows = spec.get("rows")
    tokens = min(read / BYTES_A_SUBWORD, rows * unit * windows if rows else float("inf"))
    return Work(
        longest=length,
        step_tokens=int(spec["training"]["batch_size"]) * unit * windows,
        unit_tokens=unit,
        reads=1.0 if task_type.name in ("span", "tagging") else 1 / length,
        outputs=TAGS if isinstance(task_type, Tagging) and not task_type.labels else head.num_outputs if head else 1,
        trained_rows=distinct_subwords(tokens, of.vocabulary),
        keeps_best=spec["training"]["selection"] == "dev",
        dropout=_dropout(spec["training"]),
        decays=spec["training"]["weight_decay"] > 0,
        pooled=head is not None and head.kind == "pooled",
        row_bytes=read,
    )


def _dropout(settings: Mapping[str, Any]) -> float:
    own = settings.get("attention_dropout")
    return 0.1 if own is None else float(own)


def _of_text(spec: Mapping[str, Any], of: Dimensions, mask: float, size: Callable[[str], int]) -> Work:
    """Masked LM: it compares with every row of the matrix, so all are trained."""
    length, settings = int(spec["encoding"]["max_length"]), spec["training"]
    return Work(
        longest=length,
        step_tokens=int(settings["batch_size"]) * length,
        unit_tokens=length,
        reads=mask,
        outputs=of.vocabulary,
        dropout=_dropout(settings),
        row_bytes=sum(_bytes(entry, size) for entry in spec["text"].values()),
    )


def _mixture(spec: Mapping[str, Any], model: Model, how: How, size: Callable[[str], int]) -> Need:
    """The part with the fullest moment, with what all parts together hold: rows, and the rows of the vocabulary."""
    parts = []
    for name, part in spec["parts"].items():
        if name == MASKED_LM:
            parts.append(_of_text(part, model.of, part["settings"]["mask"], size))
        else:
            parts.append(_of_rows(part, model.of, size))
    met = [part.trained_rows for part in parts]
    rows = None if None in met else min(model.of.vocabulary, sum(n or 0 for n in met))
    shared: dict[str, Any] = {
        "trained_rows": rows,
        "row_bytes": sum(part.row_bytes for part in parts),
        "keeps_best": spec["training"]["selection"] == "dev",
        "decays": spec["training"]["weight_decay"] > 0,
        "tokenizer_bytes": model.tokenizer_bytes,
        "converted": model.converted,
    }
    asked = _asked(how, spec["training"])
    return max((training(model.of, replace(part, **shared), asked) for part in parts), key=lambda need: need.bytes)


def _answered(spec: Mapping[str, Any]) -> Work:
    task_type, length = load(spec["task"]).type, int(spec["encoding"]["max_length"])
    head = task_type.head
    everywhere = task_type.name in ("span", "tagging", "retrieval")
    return Work(
        longest=length,
        reads=1.0 if everywhere else 1 / length,
        outputs=head.num_outputs if head is not None else 1,
        pooled=head is not None and head.kind == "pooled",
        dropout=0.0,
    )


def _streamed(spec: Mapping[str, Any], of: Dimensions, row_bytes: int) -> Work:
    """The rows of all languages pass through a layer together."""
    work, rows = _answered(spec), spec.get("rows")
    most = rows * len(spec["languages"]) * work.longest if rows else float("inf")
    tokens = int(min(row_bytes / BYTES_A_SUBWORD, most))
    met = min(of.vocabulary, len(spec["languages"]) * distinct_subwords(tokens / len(spec["languages"]), of.vocabulary))
    return replace(work, row_bytes=row_bytes, streamed_tokens=tokens, trained_rows=met)


def _writing(node: Node, of: Dimensions, known: Mapping[str, Any], how: How, size: Callable[[str], int]) -> Need:
    """What a text-to-text model that learns or writes holds; of a mixture the part with the fullest moment."""
    spec = node.spec
    if node.kind == "generate":
        files = [_bytes(entry, size) for entry in spec["languages"].values()]
        said = _said(spec)
        if spec["decoding"] != "constrained":  # a model may go on where a target would have ended
            said = replace(said, written=spec["encoding"]["max_target_length"])
        return text_inference(of, replace(said, row_bytes=max(files, default=0), **known), how)
    if node.kind == "pretrain":
        settings = spec["settings"]
        length, training, mask = settings["model"]["max_length"], settings["training"], settings["mask"]
        whole = settings["objective"] == "denoising"
        work = Work(
            longest=length,
            written=length if whole else min(length, int(length * mask * (1 + 1 / MEAN_SPAN)) + 2),
            step_tokens=int(training["batch_size"]) * length,
            row_bytes=sum(_bytes(entry, size) for entry in spec["text"].values()),
        )
        return text_training(of, replace(work, **known), how)
    parts, every = [*spec.get("parts", {"": spec}).values()], spec["training"]
    shared = {
        "row_bytes": sum(_bytes(part, size) for part in parts),
        "keeps_best": every["selection"] == "dev",
        "factored": every["optimizer"] == "adafactor",
        **known,
    }
    works = [replace(_said(part), step_tokens=int(part["training"]["batch_tokens"]), **shared) for part in parts]
    return max((text_training(of, work, how) for work in works), key=lambda need: need.bytes)


def _said(spec: Mapping[str, Any]) -> Work:
    """How long what is read and what is written may be."""
    encoding, answers = spec["encoding"], cast_of_json(spec["cast"]).targets
    longest = max(
        (len(answer) // CHARACTERS_A_SUBWORD + 2 for answer in answers), default=encoding["max_target_length"]
    )
    return Work(longest=encoding["max_input_length"], written=min(longest, encoding["max_target_length"]))


def how_of(device: str, tokens: int, *, checkpointing: bool = False) -> How:
    """How a worker on this device runs nodes."""
    kind: Literal["cpu", "cuda"] = "cuda" if device.startswith("cuda") else "cpu"
    return How(kind, tokens=tokens, checkpointing=checkpointing)


def in_group(how: How, node: Node, processes: int) -> How:
    """How each of so many processes runs the node."""
    return replace(how, shards=processes) if is_sharded(node) else how
