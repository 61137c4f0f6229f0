"""Routing's classifier: what it promises of files, of both forms of a message, and of its own confidence."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rjieba
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from services.cases.routing import features, files, judging, near, text, training
from services.cases.routing.desk import judge_texts
from services.cases.routing.examples import NARROW, TOPICS, nearness
from services.cases.routing.files import RoutingFileInvalid
from services.cases.routing.model import Model
from services.cases.routing.rules_file import shipped_taxonomy
from simulation.case_texts import generated_text
from simulation.city import CATEGORIES

Line = dict[str, object]
# A list of words as archives hold them: stop words are gone.
STOP = {
    "的",
    "了",
    "是",
    "在",
    "和",
    "，",
    "。",
    "：",
    "、",
    "已有",
    "没有",
    "有",
    "到",
    "只",
    "也",
    "都",
    "被",
    "要",
}


def generated(seed: int, each: int) -> list[Line]:
    """Messages with known categories, `each` of every one."""
    rng = random.Random(seed)
    found: list[Line] = []
    for category in CATEGORIES:
        for _ in range(each):
            said = generated_text(rng, "东桥镇", category)
            found.append({"subject": said.title, "body": said.text, "label": category})
    rng.shuffle(found)
    return found


def as_tokens(line: Line) -> Line:
    """The same message as an archive's list of words."""
    words = [
        word for word in rjieba.cut(f"{line['subject']}\n{line['body']}") if word.strip() and word not in STOP
    ]
    return {"tokens": words, "label": line["label"]}


def write(path: Path, lines: list[Line]) -> Path:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained by the command on lists of words, as an archive has them."""
    root = tmp_path_factory.mktemp("routing")
    file = write(root / "past.jsonl", [as_tokens(line) for line in generated(1, 40)])
    done = CliRunner().invoke(app, ["routing", "train", str(file), "--model", str(root / "model")])
    assert done.exit_code == 0, done.output
    return root / "model"


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return files.load(folder)


def predicted(folder: Path, file: Path) -> list[dict[str, object]]:
    done = CliRunner().invoke(app, ["routing", "predict", str(file), "--model", str(folder)])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_message_gets_one_line_with_category_confidence_and_automatic(
    folder: Path, tmp_path: Path
) -> None:
    lines = generated(2, 10)
    found = predicted(folder, write(tmp_path / "new.jsonl", lines))
    assert len(found) == len(lines)
    assert all(0 < float(str(line["confidence"])) <= 1 for line in found)
    assert {type(line["automatic"]) for line in found} == {bool}
    right = sum(a["category"] == b["label"] for a, b in zip(found, lines, strict=True))
    assert right / len(lines) > 0.9


def test_a_text_and_the_list_of_its_words_get_the_same_answer(folder: Path, tmp_path: Path) -> None:
    lines = generated(3, 20)
    texts = predicted(folder, write(tmp_path / "texts.jsonl", lines))
    tokens = predicted(folder, write(tmp_path / "tokens.jsonl", [as_tokens(line) for line in lines]))
    assert [line["category"] for line in texts] == [line["category"] for line in tokens]
    agreeing = sum(a["automatic"] == b["automatic"] for a, b in zip(texts, tokens, strict=True))
    assert agreeing / len(lines) > 0.98


def test_training_twice_gives_the_same_version(folder: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "past.jsonl", [as_tokens(line) for line in generated(1, 40)])
    done = CliRunner().invoke(app, ["routing", "train", str(file), "--model", str(tmp_path / "model")])
    assert done.exit_code == 0
    assert files.load(tmp_path / "model").manifest == files.load(folder).manifest


def test_a_batch_and_one_message_alone_are_judged_alike(model: Model) -> None:
    messages = [text.from_text(f"{line['subject']}\n{line['body']}") for line in generated(4, 5)]
    together = model.classify(messages)
    for message, judgement in zip(messages, together, strict=True):
        alone = model.classify([message])[0]
        assert alone.automatic == judgement.automatic
        assert [guess.category for guess in alone.guesses] == [guess.category for guess in judgement.guesses]
        assert np.allclose([g.confidence for g in alone.guesses], [g.confidence for g in judgement.guesses])


def test_near_examples_speak_for_a_message_and_far_ones_hardly(model: Model) -> None:
    assert model.examples.places.shape == (40 * len(CATEGORIES), TOPICS)
    place = np.eye(3, TOPICS, dtype=np.float32)
    close = nearness(place, place)
    assert np.allclose(np.diag(close), 1)
    assert np.allclose(close[0, 1:], np.exp(-NARROW))
    assert np.exp(-NARROW) < 0.05
    lines = generated(9, 3)
    found = features.rows(
        [text.from_text(f"{line['subject']}\n{line['body']}") for line in lines], model.vocabulary
    )
    spoken = model.examples.scores(found).argmax(axis=1)
    right = [model.manifest.labels[k] == line["label"] for k, line in zip(spoken, lines, strict=True)]
    assert np.mean(right) > 0.8


def test_more_messages_than_can_be_compared_make_a_model_of_features_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "EXAMPLES_MOST", 0)
    lines = generated(1, 20)
    messages = [text.from_text(f"{line['subject']}\n{line['body']}") for line in lines]
    made = training.train(messages, [str(line["label"]) for line in lines])
    assert made.examples.places.size == 0
    right = [
        one.guesses[0].category == line["label"]
        for one, line in zip(made.classify(messages), lines, strict=True)
    ]
    assert np.mean(right) > 0.9


def repacked(model: Model, change: Callable[[dict[str, Any]], object], *, form: int) -> tuple[bytes, bytes]:
    """A model's bytes in another format or with other arrays, and a manifest that fits them."""
    manifest, data = files.pack(model)
    with np.load(io.BytesIO(data)) as held:
        arrays = dict(held)
    change(arrays)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    stated = json.loads(manifest) | {
        "format": form,
        "digest": hashlib.sha256(buffer.getvalue()).hexdigest(),
    }
    stated["version"] = files._version(stated)
    return json.dumps(stated).encode(), buffer.getvalue()


def test_a_model_of_the_format_before_is_read_and_has_no_examples(model: Model) -> None:
    def without_examples(arrays: dict[str, Any]) -> None:
        for name in [name for name in arrays if name.startswith("examples.")]:
            del arrays[name]

    earlier = files.unpack(*repacked(model, without_examples, form=1))
    assert earlier.examples.places.size == 0
    assert np.array_equal(earlier.matrix, model.matrix)
    assert len(earlier.classify([["路灯"]])) == 1
    with pytest.raises(RoutingFileInvalid):
        files.unpack(*repacked(model, without_examples, form=2))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("places", lambda held: held[0, 0]),
        ("places", lambda held: held[:-1]),
        ("places", lambda held: held[:, :-1]),
        ("places", lambda held: held * np.float16("nan")),
        ("weights", lambda held: held[:, :-1]),
        ("weights", lambda held: held[0, 0]),
        ("directions", lambda held: held[:-1]),
        ("columns", lambda held: held[::-1]),
        ("columns", lambda held: held + 10_000_000),
        ("columns", lambda held: held.astype(np.float64)),
    ],
)
def test_examples_that_do_not_fit_the_model_are_refused(
    model: Model, name: str, wrong: Callable[[Any], Any]
) -> None:
    def change(arrays: dict[str, Any]) -> None:
        arrays[f"examples.{name}"] = wrong(arrays[f"examples.{name}"])

    with pytest.raises(RoutingFileInvalid, match="arrays"):
        files.unpack(*repacked(model, change, form=2))


def test_a_message_without_a_known_word_is_never_automatic(model: Model) -> None:
    assert [judgement.automatic for judgement in model.classify([[], ["zzz"], ["？"]])] == [False] * 3


@given(words=st.lists(st.text(max_size=8), max_size=30))
def test_any_list_of_words_gets_confidences_that_fall_and_sum_to_one_at_most(
    model: Model, words: list[str]
) -> None:
    [judgement] = model.classify([text.from_words(words)])
    shares = [guess.confidence for guess in judgement.guesses]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1 + 1e-9


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("rubbish", "line 2: is not JSON"),
        ("[1]", "line 2: is not a JSON object"),
        ('{"label": "甲"}', "line 2: needs either subject and body, or tokens"),
        (
            '{"tokens": ["水"], "body": "水", "label": "甲"}',
            "line 2: needs either subject and body, or tokens",
        ),
        ('{"tokens": "水", "label": "甲"}', "line 2: tokens: Input should be a valid list"),
        ('{"tokens": ["水", 3], "label": "甲"}', "line 2: tokens.1: Input should be a valid string"),
        ('{"subject": "机密", "body": "水"}', "line 2: needs a label"),
        ('{"body": "水", "label": ""}', "line 2: label: String should have at least 1 character"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_and_without_its_words(
    tmp_path: Path, line: str, why: str
) -> None:
    file = tmp_path / "past.jsonl"
    file.write_text('{"body": "路灯不亮", "label": "甲"}\n' + line + "\n", "utf-8")
    done = CliRunner().invoke(app, ["routing", "train", str(file), "--model", str(tmp_path / "model")])
    assert done.exit_code == 1
    assert why in done.stderr
    assert "机密" not in done.output
    assert not (tmp_path / "model").exists()


def test_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").write_text("\n\n")
    for name, why in (("none", "cannot be read"), ("binary", "is not UTF-8"), ("empty", "holds no message")):
        with pytest.raises(RoutingFileInvalid, match=why):
            files.read_messages(tmp_path / name, labelled=False)


def test_too_few_messages_of_a_category_are_refused_by_name(tmp_path: Path) -> None:
    same = {"body": "路灯不亮，请维修", "label": "甲"}
    file = write(tmp_path / "past.jsonl", [same, same, {"body": "噪声扰民，夜里难以入睡", "label": "乙"}])
    done = CliRunner().invoke(app, ["routing", "train", str(file), "--model", str(tmp_path / "model")])
    assert done.exit_code == 1
    assert "has fewer than two different messages" in done.stderr


def test_a_model_survives_the_way_through_its_folder(model: Model, tmp_path: Path) -> None:
    files.save(model, tmp_path)
    again = files.load(tmp_path)
    messages = [text.from_text(str(line["body"])) for line in generated(5, 5)]
    assert again.manifest == model.manifest
    assert again.classify(messages) == model.classify(messages)


def test_a_changed_or_foreign_model_is_refused(model: Model) -> None:
    manifest, data = files.pack(model)
    stated = json.loads(manifest)
    for wrong_manifest, wrong_data in (
        (manifest, data[:-1] + bytes([data[-1] ^ 1])),
        (b"{}", data),
        (json.dumps(stated | {"format": 3}).encode(), data),
        (json.dumps(stated | {"labels": [*stated["labels"], "其他"]}).encode(), data),
    ):
        with pytest.raises(RoutingFileInvalid):
            files.unpack(wrong_manifest, wrong_data)


def test_a_manifest_that_was_changed_no_longer_has_its_version(model: Model) -> None:
    manifest, data = files.pack(model)
    stated = json.loads(manifest)
    with pytest.raises(RoutingFileInvalid, match="version"):
        files.unpack(json.dumps(stated | {"threshold": 0.01}).encode(), data)


def test_near_messages_stay_in_one_fold_and_others_are_apart() -> None:
    said = "窨井盖缺失已经三天旁边只放了一块木板夜里行人看不清非常危险请尽快处理"
    messages = [[said], [said + "谢谢"], ["路灯不亮"], [said[:10]]]
    pairs = near.pairs(messages)
    assert pairs == [(0, 1)]
    first, second, third, fourth = near.groups(4, pairs)
    assert first == second
    assert len({first, third, fourth}) == 3
    assert near.near(messages[:1] + messages[2:], [messages[1]]) == {0}


@given(st.lists(st.text(alphabet="路灯水电", min_size=1, max_size=12), min_size=2, max_size=12))
def test_every_near_pair_is_found(said: list[str]) -> None:
    sets = [text.shingles([one]) for one in said]
    expected = {
        (a, b)
        for b in range(len(said))
        for a in range(b)
        if len(sets[a] & sets[b]) >= near.SAME * len(sets[a] | sets[b])
    }
    assert {(min(pair), max(pair)) for pair in near.pairs([[one] for one in said])} == expected


def test_the_threshold_is_the_lowest_that_keeps_the_promise() -> None:
    sure = np.linspace(0.99, 0.51, 100)
    shares = np.column_stack([sure, 1 - sure])
    answers = np.zeros(100, np.int64)
    answers[[60, 70, 80, 90]] = 1  # wrong from the sixty-first on
    threshold, precision, coverage = training.choose_threshold(shares, answers, 0.95)
    above = sure >= threshold
    assert (answers[above] == 0).mean() == precision >= 0.95
    assert coverage == above.mean()
    assert training.choose_threshold(shares, 1 - answers * 0, 0.95)[0] > 1


def test_confidence_says_how_often_it_is_right() -> None:
    lines = generated(6, 40)
    for line in lines[::10]:  # a tenth is labelled wrongly, so that nothing is certain
        line["label"] = "环境保护"
    messages = [text.from_text(f"{line['subject']}\n{line['body']}") for line in lines]
    found = judging.evaluate(messages, [str(line["label"]) for line in lines])
    assert found.dropped == 0
    assert found.quality.calibration_error < 0.1
    assert found.quality.coverage.whole == len(lines)


def test_cold_evaluation_judges_by_the_shipped_words_and_learns_nothing(tmp_path: Path) -> None:
    lines = generated(8, 10)
    file = write(tmp_path / "past.jsonl", lines)
    done = CliRunner().invoke(app, ["routing", "evaluate", str(file), "--cold", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["folds"], found["cost"]["training_seconds"], found["cost"]["model_bytes"]) == (
        0,
        None,
        None,
    )
    texts = [f"{line['subject']}\n{line['body']}" for line in lines]
    said = judge_texts(texts, None, shipped_taxonomy())
    right = sum(
        bool(one.guesses) and one.guesses[0].category == line["label"]
        for one, line in zip(said, lines, strict=True)
    )
    assert found["quality"]["right"] == {"part": right, "whole": len(lines)}
    assert found["quality"]["coverage"]["part"] == sum(one.category is not None for one in said)


def test_what_is_near_to_a_judged_message_is_not_learnt_from() -> None:
    lines = generated(7, 12)
    messages = [text.from_text(f"{line['subject']}\n{line['body']}") for line in lines]
    labels = [str(line["label"]) for line in lines]
    found = judging.evaluate_on(messages, labels, messages[:3], labels[:3])
    assert found.dropped >= 3


def test_features_are_counted_as_defined() -> None:
    vocabulary = features.fit([["路灯", "不亮"], ["路灯", "坏"]], dict.fromkeys(features.BLOCKS, 1))
    rows = features.rows([["路灯", "新词", "坏"], []], vocabulary)
    assert rows.begins[-1] == rows.begins[1]  # the empty message has no feature
    # 路灯 坏 as words, as a pair although a word not known stood between, and every run of up to four signs.
    sizes = [vocabulary.blocks[name].keys.size for name in features.BLOCKS]
    block = np.repeat(np.arange(len(sizes)), sizes)[rows.columns]
    assert np.bincount(block).tolist() == [2, 1, 6, 2, 6]
    for number in range(len(sizes)):
        assert np.isclose((rows.values[block == number] ** 2).sum(), 1)
