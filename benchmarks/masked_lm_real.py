"""Masked LM continued on real text: does the loss fall, and does the model know text better that it did not learn?

    python -m benchmarks.masked_lm_real --model FOLDER --data FOLDER --steps 300

Text: NTREX-128 (news, line-parallel over languages). The last lines are held out under the same numbers in every language,
for a translation would give them away. Beside them stands the Universal Declaration of Human Rights, another kind of text.

A model without a masked-LM head of its own (multilingual E5) gets a new one. Its pseudo-perplexity before is then that of a
guess, near the size of the vocabulary or worse, and what falls first is the head that learns to read the encoder. So the head
is trained alone first (``--head-steps``: encoder and shared matrix stay as they are). What falls then is its own.

Pseudo-perplexity: Salazar et al. 2020, one sub-word hidden at a time. It compares models of one vocabulary only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from xstilts.data.text import read_text
from xstilts.hyperparameters import MaskedLM, Training
from xstilts.inference.pseudo_perplexity import pseudo_perplexity
from xstilts.models.heads import MaskedLMHead
from xstilts.models.masked_lm_head import masked_lm_shape, take_masked_lm_head
from xstilts.models.model import Model
from xstilts.training import train
from xstilts.training.masked_lm import Texts, masked_lm_course

NTREX = {
    "en": "newstest2019-src.eng.txt",
    "de": "newstest2019-ref.deu.txt",
    "es": "newstest2019-ref.spa.txt",
    "fi": "newstest2019-ref.fin.txt",
    "hi": "newstest2019-ref.hin.txt",
    "sw": "newstest2019-ref.swa.txt",
    "tr": "newstest2019-ref.tur.txt",
    "zh": "newstest2019-ref.zho-CN.txt",
}
UDHR = {"hi": "Hindi-UTF8", "tr": "Turkish_Turkce-UTF8", "vi": "Vietnamese-ALRN-UTF8"}
EVERY = 25
"""Steps of which one mean loss is printed."""


def main() -> None:
    """Train and print; with ``--json`` the record goes to a file, too."""
    args = _arguments()
    torch.manual_seed(args.seed)
    learned, unseen = split(args.data, args.languages.split(","), args.held_out)
    shape = masked_lm_shape(args.model)
    model = Model.start(args.model, shape, args.seed)
    assert isinstance(model.head, MaskedLMHead)
    origin = take_masked_lm_head(args.model, model.head, model.encoder.config)
    lines = sum(map(len, learned.values()))
    print(f"{lines:,} lines of {len(learned)} languages; vocabulary {shape.num_outputs:,}; the head is {origin}")
    record: dict[str, Any] = {
        "head": origin,
        "vocabulary": shape.num_outputs,
        "lines": lines,
        "losses": {},
        "measured": {},
    }

    def measure(name: str) -> None:
        record["measured"][name] = _measured(model, unseen, args.max_length, name)

    measure("before")
    if args.head_steps:
        model.encoder.requires_grad_(False)
        record["losses"]["head alone"] = _trained(model, learned, args, args.head_steps, args.head_learning_rate)
        model.encoder.requires_grad_(True)
        measure("head alone")
    record["losses"]["all"] = _trained(model, learned, args, args.steps, args.learning_rate)
    measure("after")
    if args.json:
        args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def split(data: Path, languages: Sequence[str], held_out: int) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Lines to learn from by language, and lines of each unseen text; NTREX's last numbers are held out everywhere."""
    files = {language: read_text(data / "NTREX-128" / NTREX[language]) for language in languages}
    if len({len(found) for found in files.values()}) != 1:
        sys.exit("the NTREX files are not line-parallel, so held-out lines could be learned in another language")
    learned = {language: lines[:-held_out] for language, lines in files.items()}
    unseen = {f"NTREX {language}": lines[-held_out:] for language, lines in files.items()}
    for language, name in UDHR.items():
        unseen[f"UDHR {language}"] = read_text(data / "udhr" / name)[:held_out]
    return learned, unseen


def _trained(
    model: Model, learned: Mapping[str, list[str]], args: argparse.Namespace, steps: int, rate: float
) -> list[float]:
    """Train in place; the mean loss of every 25 steps, printed along the way."""
    settings = Training(max_steps=steps, batch_size=args.batch_size, learning_rate=rate, selection="last")
    text, found = MaskedLM(languages=tuple(learned)), list[float]()
    course = masked_lm_course(
        Texts(learned, {}), model.tokenizer, text, settings, args.seed, max_length=args.max_length
    )
    losses: list[float] = []
    start = time.monotonic()

    def progress(done: int, total: int, unit: str, **shown: Any) -> None:
        losses.append(shown["loss"])
        if done % EVERY == 0 or done == total:
            found.append(round(statistics.fmean(losses), 4))
            losses.clear()
            print(
                f"  step {done:>4} of {total}: masked loss {found[-1]:.3f}  ({time.monotonic() - start:.0f} s)",
                flush=True,
            )

    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "training.jsonl"
        train(model, course, micro_batch_tokens=args.micro_batch_tokens, dev=None, progress=progress, log=log)
    return found


def _measured(model: Model, unseen: Mapping[str, list[str]], max_length: int, name: str) -> dict[str, float]:
    """Pseudo-perplexity of every unseen text."""
    values = {what: pseudo_perplexity(model, lines, max_length=max_length).value for what, lines in unseen.items()}
    print(
        f"pseudo-perplexity, {name}: " + ", ".join(f"{what} {value:,.1f}" for what, value in values.items()), flush=True
    )
    return values


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--languages", default="en,de,hi,sw,tr")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--head-steps", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--head-learning-rate", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--held-out", type=int, default=25, help="lines of each text")
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--micro-batch-tokens", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
