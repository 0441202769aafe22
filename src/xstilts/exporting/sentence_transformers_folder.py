"""A model as modules of sentence-transformers: an encoder that ends at one layer, then a pooling.

Format of sentence-transformers 6: ``modules.json`` names the two modules, the encoder lies in the folder itself, the pooling
in ``1_Pooling``. Only classes of that library are named: it loads without remote code.

An encoder that ends at a middle layer gives that layer's states only if nothing follows the last layer. Some families apply
a LayerNorm there (xlm-roberta-xl, modernbert), which the layers below never see. No list of families decides: the written
folder is loaded again and its vectors are compared with ours before it appears.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from xstilts.errors import ModelError
from xstilts.exporting.card import code
from xstilts.exporting.card_files import Exported, exported, write_card
from xstilts.exporting.lineage import Lineage, lineage
from xstilts.exporting.transformers_folder import INTENDED, copy_notices, describe, own_files
from xstilts.exporting.whole import whole_folder

if TYPE_CHECKING:
    from xstilts.hyperparameters import Encoding
    from xstilts.models.model import Model
    from xstilts.task_types.base import FloatArray

Pooling = Literal["mean", "first"]
MODES: Mapping[Pooling, str] = {"mean": "mean", "first": "cls"}
"""Our poolings by their names there."""
LIBRARY = "sentence_transformers"
TRANSFORMER = f"{LIBRARY}.base.modules.transformer.Transformer"
POOLING = f"{LIBRARY}.sentence_transformer.modules.pooling.Pooling"
FORMAT = "6.0.0"
PROBES = ("a", "The committee met on 3 May and rejected the plan.", "één, två, три, 四; " * 20)
TOLERANCE = 1e-4
"""How far a vector's elements may lie from ours, on the probes, in fp32."""


def export_sentence_transformers(
    folder: Path, to: Path, *, layer: int | None = None, pooling: Pooling | None = None
) -> Exported:
    """Write the encoder of ``folder`` up to ``layer`` and its pooling to ``to``, whole or not at all, with a card.

    Args:
        folder: a Hugging Face folder with safetensors weights, of a store's node or of anywhere.
        to: a new folder.
        layer: 0 is the embedding output; ``None`` is what the store's study chose for this model, else the last layer.
        pooling: ``None`` as for ``layer``; else the mean.

    Raises:
        ModelError: no such layer, no plain encoder, or a family whose layer cannot be cut out.
        StoreError: ``to`` is there already or cannot be written; the node is damaged.
    """
    from xstilts.own_text.models import check_layer

    with whole_folder(to) as out:
        own_files(folder)  # its tokenizer and notices are copied, too
        known, name = lineage(folder), to.absolute().name
        notes = []
        if layer is None:
            layer, calibrated, why = _calibrated(known)
            notes.append(why)
            pooling = pooling or calibrated
        pooling = pooling or "mean"
        model, encoding = _in_memory(folder)
        at = check_layer(model, layer)
        layers = model.num_layers
        ours = _vectors(model, encoding, at, pooling)
        _write_encoder(folder, model, at, out)
        # Its class has a pooler that was not made: the library must not make up weights for it, and warn of that.
        options = {"add_pooling_layer": False} if getattr(model.encoder.transformer, "pooler", 0) is None else {}
        del model
        _write_modules(out, encoding.max_length, ours.shape[1], pooling, options)
        _compare(out, ours, at, layers, pooling)
        copy_notices(folder, out)
        notes.append(f"layer {at} of {layers}, {pooling} over sub-words, at most {encoding.max_length} of them")
        notes += write_card(
            out,
            None if known is None else _of_these_vectors(known, at, pooling),
            name=name,
            shape="retrieval",
            library="sentence-transformers",
            load=_load_lines(name),
            about=_about(describe(folder), at, layers, pooling, encoding.max_length),
        )
    return exported(to, notes)


def _calibrated(known: Lineage | None) -> tuple[int | None, Pooling | None, str]:
    """Layer and pooling that the store chose for this model's retrieval, and where from."""
    found: dict[tuple[int, Pooling], str] = {}
    nodes = {node["key"]: node for node in known.payload.get("nodes", ())} if known else {}
    for node in nodes.values():
        calibration = node["parents"].get("calibration")
        # A score was calibrated, or what it is of: BUCC's test pools are mined at the chosen layer alone.
        retrieve = nodes.get(node["parents"].get("predictions", node["key"]), {"parents": {}})
        if known is None or calibration is None or retrieve["parents"].get("model") != known.key:
            continue
        if known.store.has(calibration):
            known.store.verify_once(calibration)
            text = (known.store.path(calibration) / "calibration.json").read_text(encoding="utf-8")
            said = json.loads(text)
            found[said["layer"], said["pooling"]] = f"{said['rule']} (node {calibration[:12]})"
    if not found:
        return None, None, "no retrieval of this model was calibrated here: the last layer, unless --layer says another"
    if len(found) > 1:
        places = ", ".join(f"layer {layer} {pooling}" for layer, pooling in found)
        raise ModelError(f"the store chose several layers for this model: {places}", hint="name one with --layer")
    ((layer, pooling), why) = next(iter(found.items()))
    return layer, pooling, f"the store chose layer {layer}, {pooling}, for the retrieval of this model: {why}"


def _of_these_vectors(known: Lineage, layer: int, pooling: Pooling) -> Lineage:
    """The lineage with the scores that were made with just these vectors: no other layer, no fine-tuning."""
    scores = tuple(score for score in known.scores if (score.layer, score.pooling) == (layer, pooling))
    targets = {score.target for score in scores}
    return replace(known, scores=scores, scored_by=tuple(n for n in known.scored_by if n["spec"]["task"] in targets))


def _write_encoder(folder: Path, model: Model, layer: int, out: Path) -> None:
    """The encoder alone, without the layers above ``layer``."""
    from xstilts.models.export import export
    from xstilts.models.model import Model as Loaded
    from xstilts.models.prune import keep_layers

    task = str(describe(folder).get("task") or "")
    if layer == model.num_layers:
        export(model, out, task, "retrieval")
        return
    try:
        with tempfile.TemporaryDirectory(dir=out) as scratch:
            keep_layers(folder, range(1, layer + 1), Path(scratch) / "kept")
            export(Loaded.start(Path(scratch) / "kept", None), out, task, "retrieval")
    except ModelError as error:
        what = error.what.splitlines()[0]
        raise _cannot_cut(layer, model.num_layers, model.encoder.config.model_type, what) from error


def _cannot_cut(layer: int, layers: int, family: str, why: str) -> ModelError:
    return ModelError(
        f"layer {layer} of {layers} cannot be cut out of {family!r}: {why}",
        where=f"--layer {layer}",
        hint=f"--layer {layers}, the last one, can be exported; `xstilts embed --layer {layer}` gives these vectors",
    )


def _write_modules(out: Path, max_length: int, width: int, pooling: Pooling, options: Mapping[str, bool]) -> None:
    modules = [(0, "", TRANSFORMER), (1, "1_Pooling", POOLING)]
    _write(out / "modules.json", [{"idx": i, "name": str(i), "path": path, "type": kind} for i, path, kind in modules])
    _write(
        out / "sentence_bert_config.json",
        {
            "transformer_task": "feature-extraction",
            "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
            "module_output_name": "token_embeddings",
            **({"model_kwargs": options} if options else {}),
        },
    )
    _write(
        out / "config_sentence_transformers.json",
        {
            "__version__": {LIBRARY: FORMAT, "transformers": version("transformers"), "pytorch": version("torch")},
            "model_type": "SentenceTransformer",
            "prompts": {"query": "", "document": ""},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    )
    (out / "1_Pooling").mkdir()
    _write(
        out / "1_Pooling" / "config.json",
        {"embedding_dimension": width, "pooling_mode": MODES[pooling], "include_prompt": True},
    )
    # The library takes the length from here; the number of positions, its own guess, is too large for RoBERTa's kin.
    path = out / "tokenizer_config.json"
    said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    _write(path, {**said, "model_max_length": max_length})


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _in_memory(folder: Path) -> tuple[Model, Encoding]:
    """The encoder of a folder, its weights loaded: they are written again."""
    from xstilts.own_text.models import load_embedder

    model, encoding = load_embedder(folder, precision="fp32", stream="never")
    return cast("Model", model), encoding


def _vectors(model: Model, encoding: Encoding, layer: int, pooling: Pooling) -> FloatArray:
    """Vectors of the probes, one a row."""
    from xstilts.inference.embed import embed

    with tempfile.TemporaryDirectory() as scratch:
        found = embed(model, PROBES, encoding, layers=[layer], poolings=[pooling], out=Path(scratch))
        vectors: FloatArray = found.matrix(layer, pooling)[found.rows]
    return vectors


def _compare(out: Path, ours: FloatArray, layer: int, layers: int, pooling: Pooling) -> None:
    """Refuse a folder whose encoder does not end in the states of ``layer``."""
    model, encoding = _in_memory(out)
    theirs = _vectors(model, encoding, model.num_layers, pooling)
    far = float(abs(ours - theirs).max())
    if not far <= TOLERANCE:
        why = (
            f"an encoder that ends there gives other vectors (elements differ by up to {far:.2g}), as this family does more "
            "after its last layer, such as a LayerNorm"
        )
        raise _cannot_cut(layer, layers, model.encoder.config.model_type, why)


def _load_lines(name: str) -> str:
    return (
        "from sentence_transformers import SentenceTransformer\n\n"
        f'model = SentenceTransformer("{name}")\n'
        'vectors = model.encode(["One sentence.", "Ein anderer Satz."])'
    )


def _about(said: Mapping[str, Any], layer: int, layers: int, pooling: Pooling, max_length: int) -> tuple[str, ...]:
    trained = f" of a model trained on {code(said['task'])}" if said.get("task") else ""
    pooled = "the mean over its sub-words, special ones too" if pooling == "mean" else "its first sub-word"
    return (
        f"This model turns a text into one vector: {pooled}, after layer {layer} of {layers} of an encoder{trained}. Layers "
        f"above are left out. Texts are cut at {max_length} sub-words; nothing is put before them and nothing is normalised.",
        INTENDED,
    )
