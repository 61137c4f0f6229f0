"""`daibiaotong routing`: train a classifier of messages, use it, judge it.

What is wrong with a file goes to stderr with its line; nothing here repeats a message's words.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from services.cases.routing import files, judging, training
from services.cases.routing.judging import Evaluation, Share
from shared.refusals import Refusal


def train(console: Console, file: Path, model: Path, precision: float) -> int:
    """Train on a file's messages and write the model; 1 where the file cannot be used."""
    began = time.perf_counter()
    try:
        messages, labels = _labelled(file)
        trained = files.save(training.train(messages, labels, precision=precision), model)
    except Refusal as refused:
        print(refused.detail, file=sys.stderr)
        return 1
    manifest = trained.manifest
    size = sum(path.stat().st_size for path in (model / files.MANIFEST, model / files.ARRAYS))
    console.print(
        f"model {manifest.version}: {len(manifest.labels)} categories from {manifest.messages} messages",
        f"in {time.perf_counter() - began:.0f} s, {size / 1e6:.1f} MB;",
        f"alone on {manifest.coverage:.1%} of held-out messages, right in {manifest.precision:.2%} of these",
        soft_wrap=True,
        highlight=False,
    )
    return 0


def predict(file: Path, model: Path) -> int:
    """Print a JSON line for each message of a file, in order; 1 where file or model cannot be used."""
    try:
        messages = [message.words for message in files.read_messages(file, labelled=False)]
        judgements = judging.classify(files.load(model), messages)
    except Refusal as refused:
        print(refused.detail, file=sys.stderr)
        return 1
    for judgement in judgements:
        best = judgement.guesses[0]
        line = {
            "category": best.category,
            "confidence": round(best.confidence, 6),
            "automatic": judgement.automatic,
            "guesses": [[guess.category, round(guess.confidence, 6)] for guess in judgement.guesses],
        }
        print(json.dumps(line, ensure_ascii=False))
    return 0


def evaluate(console: Console, file: Path, on: Path | None, precision: float, *, as_json: bool) -> int:
    """Judge what a classifier trained on the file would do with messages that it never saw."""
    try:
        messages, labels = _labelled(file)
        if on is None:
            found = judging.evaluate(messages, labels, precision=precision)
        else:
            found = judging.evaluate_on(messages, labels, *_labelled(on), precision=precision)
    except Refusal as refused:
        print(refused.detail, file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps(asdict(found), ensure_ascii=False))
    else:
        console.print(_shown(found), highlight=False)
    return 0


def _labelled(file: Path) -> tuple[list[tuple[str, ...]], list[str]]:
    found = files.read_messages(file, labelled=True)
    return [message.words for message in found], [message.label or "" for message in found]


def _shown(found: Evaluation) -> Table:
    quality, cost = found.quality, found.cost
    how = f"{found.folds}-fold cross-validation" if found.folds > 1 else "another file"
    table = Table("figure", "value", title=f"{quality.messages} messages, {how}")
    table.add_row("near to another, kept in one fold with it", str(found.near))
    table.add_row("left out of training, near to a judged one", str(found.dropped))
    table.add_row("macro-F1", f"{quality.macro_f1:.4f}")
    for label, value in quality.f1.items():
        table.add_row(f"  {label}", f"{value:.4f}")
    table.add_row("right category", _share(quality.right))
    table.add_row("routed without staff", _share(quality.coverage))
    table.add_row("  right of these", _share(quality.automatic))
    table.add_row("confidence off by", f"{quality.calibration_error:.4f}")
    table.add_row("ms a message in batches of 64", f"{cost.batch_ms:.3f}")
    table.add_row("ms a message alone", f"{cost.alone_ms:.3f}")
    table.add_row("training", f"{cost.training_seconds:.0f} s")
    table.add_row("model", f"{cost.model_bytes / 1e6:.1f} MB")
    return table


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{share.value:.2%} ({share.part} of {share.whole}; 95 % interval {low:.2%} to {high:.2%})"
