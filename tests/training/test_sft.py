"""Stage 1 on a very small model: it resumes exactly, refuses to cut, and stops at what is not finite."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from training.checkpoints import newest, record
from training.runs import RunError, StageDirectory
from training.sft import IGNORED, PlainHeadTrainer, tokenised, train
from training.tokens import encode
from training.watch import read_metrics

needs_a_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler on this machine")
WEIGHTS = "adapter_model.safetensors"
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def losses(stage: StageDirectory) -> dict[int, float]:
    return {int(row["step"] or 0): row["loss"] or 0.0 for row in read_metrics(stage.metrics) if "loss" in row}


def losses_s(stage: StageDirectory) -> dict[int, float]:
    return {int(row["step"] or 0): row["seconds"] or 0.0 for row in read_metrics(stage.metrics) if "loss" in row}


def last_development_loss(stage: StageDirectory) -> float:
    return [row["eval_loss"] or 0.0 for row in read_metrics(stage.metrics) if "eval_loss" in row][-1]


def roomy(small: Any, **changes: Any) -> Any:
    return small.recipe(data__max_completion_tokens=512, **changes)


@pytest.fixture(scope="module")
def whole(small: Any, tmp_path_factory: pytest.TempPathFactory) -> StageDirectory:
    """A run that nothing interrupted."""
    stage = StageDirectory(tmp_path_factory.mktemp("whole") / "sft")
    train(roomy(small), small.base, small.rows, small.rows[:4], stage)
    return stage


@pytest.fixture
def began(whole: StageDirectory, tmp_path: Path) -> Path:
    """The adapter that a stage begins from, a copy that a test may change."""
    return Path(shutil.copytree(whole.adapter, tmp_path / "began"))


@pytest.fixture
def stage(tmp_path: Path) -> StageDirectory:
    return StageDirectory(tmp_path / "sft")


def test_it_leaves_an_adapter_with_magnitudes_tokens_and_figures(whole: StageDirectory) -> None:
    adapter = load_file(whole.adapter / WEIGHTS)
    magnitudes = [tensor for name, tensor in adapter.items() if "magnitude" in name]
    assert len(magnitudes) == 14
    assert {tensor.dtype for tensor in magnitudes} == {torch.float32}
    assert any("trainable_tokens_delta" in name for name in adapter)
    assert json.loads(whole.result.read_text())["steps"] == 6
    rows = read_metrics(whole.metrics)
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5, 6]
    assert {row["step"] for row in rows if "eval_loss" in row} == {2, 4, 6}
    assert rows[-1]["dora/magnitude_change"] or rows[-2]["dora/magnitude_change"]


def test_the_loss_of_completions_alone_is_that_of_all_logits(small: Any) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(small.base.path, dtype=torch.float32)
    ids = torch.randint(3, model.config.vocab_size, (3, 40), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    for row, (start, end) in enumerate([(20, 40), (25, 33), (31, 36)]):
        labels[row, :start] = labels[row, end:] = IGNORED
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    trainer = object.__new__(PlainHeadTrainer)
    trainer.accelerator = SimpleNamespace(num_processes=1)
    trainer.args = SimpleNamespace(average_tokens_across_devices=False, n_gpu=0)
    trainer.label_smoother = trainer.compute_loss_func = None
    trainer.model_accepts_loss_kwargs = True
    loss, outputs = trainer.compute_loss(model, dict(inputs), return_outputs=True)
    assert outputs.logits.shape[1] == 20, "no logits for positions at which no completion stands"
    torch.testing.assert_close(loss, model(**inputs).loss)


@needs_a_compiler
def test_compiled_and_with_the_base_in_integers_it_learns_nearly_the_same(
    small: Any, whole: StageDirectory, stage: StageDirectory
) -> None:
    recipe = roomy(small, sft__int8_base=True, sft__compiled=True)
    train(recipe, small.base, small.rows, small.rows[:4], stage)
    exact, near = losses(whole), losses(stage)
    assert near.keys() == exact.keys()
    assert near != exact
    assert near == pytest.approx(exact, rel=0.01)
    assert load_file(stage.adapter / WEIGHTS).keys() == load_file(whole.adapter / WEIGHTS).keys()


def test_it_goes_on_from_an_earlier_adapter(small: Any, whole: StageDirectory, stage: StageDirectory) -> None:
    earlier = last_development_loss(whole)
    again = roomy(
        small, sft__start_from=str(whole.adapter), sft__optimisation__steps=1, sft__optimisation__checkpoint_every=1,
        sft__optimisation__learning_rate=1e-9,
    )  # fmt: skip
    train(again, small.base, small.rows, small.rows[:4], stage)
    assert last_development_loss(stage) == pytest.approx(earlier, rel=1e-4)
    recorded = json.loads(stage.started_from.read_text())
    assert recorded["sha256"] == sha256((whole.adapter / WEIGHTS).read_bytes()).hexdigest()


def test_the_finished_adapter_takes_its_share_of_the_one_it_began_from(
    small: Any, began: Path, stage: StageDirectory
) -> None:
    recipe = roomy(
        small, sft__start_from=str(began), sft__start_share=0.25, sft__optimisation__steps=1,
        sft__optimisation__checkpoint_every=1, sft__optimisation__learning_rate=0.1,
    )  # fmt: skip
    train(recipe, small.base, small.rows, [], stage)
    directories = (began, stage.checkpoints / "checkpoint-1", stage.adapter)
    earlier, trained, mixed = (load_file(each / WEIGHTS) for each in directories)
    moved = 0.0
    for name, tensor in mixed.items():
        expected = 0.25 * earlier[name].float() + 0.75 * trained[name].float()
        torch.testing.assert_close(tensor.float(), expected, rtol=0.01, atol=1e-4)
        moved += float((trained[name].float() - earlier[name].float()).abs().sum())
    assert moved > 1


def test_the_share_is_not_taken_of_an_adapter_that_was_exchanged_meanwhile(
    small: Any, began: Path, stage: StageDirectory
) -> None:
    changes = {"sft__start_from": str(began), "sft__optimisation__steps": 1, "sft__optimisation__checkpoint_every": 1}
    train(roomy(small, **changes), small.base, small.rows, [], stage)
    shutil.rmtree(stage.adapter)
    exchanged = {name: tensor + 1 for name, tensor in load_file(began / WEIGHTS).items()}
    save_file(exchanged, began / WEIGHTS)
    with pytest.raises(RunError, match="no longer holds the adapter that this run began from"):
        train(roomy(small, sft__start_share=0.5, **changes), small.base, small.rows, [], stage)
    assert not stage.adapter.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sft__start_from": "nowhere"}, "no adapter can be read from nowhere"),
        ({"sft__adapter__rank": 2}, "r of .* is 32 and of this recipe 2"),
    ],
)
def test_another_adapter_than_this_recipes_is_refused(
    small: Any, whole: StageDirectory, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    recipe = roomy(small, **({"sft__start_from": str(whole.adapter)} | changes))
    with pytest.raises(RunError, match=said):
        train(recipe, small.base, small.rows, [], StageDirectory(tmp_path / "sft"))


def test_integers_are_refused_where_a_gpu_is(small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(RunError, match="int8_base is for a CPU"):
        train(roomy(small, sft__int8_base=True), small.base, small.rows, [], StageDirectory(tmp_path / "sft"))


def test_killed_between_the_last_checkpoint_and_the_adapter_it_takes_no_step_more(
    small: Any, stage: StageDirectory
) -> None:
    """At a constant rate the trainer of transformers 5.19 would take a seventh step of six."""
    recipe = roomy(small, sft__optimisation__schedule="constant")
    train(recipe, small.base, small.rows, [], stage)
    finished, until_killed_s = load_file(stage.adapter / WEIGHTS), losses_s(stage)[6]
    shutil.rmtree(stage.adapter)
    train(recipe, small.base, small.rows, [], stage)
    result = json.loads(stage.result.read_text())
    assert result["steps"] == 6
    assert result["seconds"] >= losses_s(stage)[6] == until_killed_s > 0, "the time of both processes"
    assert max(losses(stage)) == 6
    for name, tensor in load_file(stage.adapter / WEIGHTS).items():
        assert torch.equal(tensor, finished[name]), name


def test_a_finished_stage_is_not_trained_again(small: Any, whole: StageDirectory) -> None:
    before = whole.metrics.read_bytes()
    train(roomy(small), small.base, small.rows, [], whole)
    assert whole.metrics.read_bytes() == before


KILLED = """
import pickle, sys
from pathlib import Path
from training.runs import StageDirectory
from training.sft import train
recipe, base, rows, path = pickle.loads(Path(sys.argv[1]).read_bytes())
train(recipe, base, rows, rows[:4], StageDirectory(path))
"""


def test_killed_at_any_moment_it_goes_on_as_if_nothing_had_happened(
    small: Any, whole: StageDirectory, stage: StageDirectory, tmp_path: Path
) -> None:
    task = tmp_path / "task.pickle"
    task.write_bytes(pickle.dumps((roomy(small), small.base, small.rows, stage.path)))
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen([sys.executable, "-c", KILLED, str(task)], env=environment, stderr=subprocess.DEVNULL) as run:
        deadline = time.monotonic() + 100
        while not (stage.metrics.is_file() and stage.metrics.read_text().count('"loss"') >= 3):
            assert time.monotonic() < deadline, "no third step"
            assert run.poll() is None, "it ended before the third step"
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    assert not stage.adapter.exists()
    train(roomy(small), small.base, small.rows, small.rows[:4], stage)
    assert losses(stage) == pytest.approx(losses(whole), rel=1e-5)
    ours, theirs = (load_file(each.adapter / WEIGHTS) for each in (stage, whole))
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, msg=name)


def test_a_run_that_diverges_stops_and_keeps_its_checkpoints(small: Any, stage: StageDirectory) -> None:
    train(roomy(small, sft__optimisation__steps=2), small.base, small.rows, [], stage)
    good = newest(stage.checkpoints)
    assert good is not None
    weights = good / WEIGHTS
    broken = load_file(weights)
    (stage.path / "adapter").rename(stage.path / "first")
    save_file({name: tensor * float("nan") for name, tensor in broken.items()}, weights)
    record(good)
    with pytest.raises(RunError, match=r"(loss|grad_norm) is nan at step 3.*Lower the learning rate"):
        train(roomy(small, sft__optimisation__steps=4), small.base, small.rows, [], stage)
    assert not stage.adapter.exists()
    assert newest(stage.checkpoints) == good


def test_a_row_that_does_not_fit_is_refused_not_cut(small: Any) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(small.base.path)
    recipe = small.recipe(sft__pack_to_tokens=64)
    with pytest.raises(RunError, match="would lose its answer"):
        tokenised(tokenizer, small.rows, recipe)


def test_packing_keeps_every_final_answer(small: Any) -> None:
    from transformers import AutoTokenizer
    from trl import pack_dataset

    tokenizer = AutoTokenizer.from_pretrained(small.base.path)
    recipe = small.recipe(sft__pack_to_tokens=1500)
    packed = pack_dataset(tokenised(tokenizer, small.rows, recipe), seq_length=1500, strategy="bfd")
    endings = [tuple(encode(tokenizer, row.prompt, row.completion).completion_ids[-12:]) for row in small.rows]
    found = []
    for sequence, lengths in zip(packed["input_ids"], packed["seq_lengths"], strict=True):
        start = 0
        for length in lengths:
            found.append(tuple(sequence[start : start + length][-12:]))
            start += length
    assert sorted(found) == sorted(endings)


def test_nothing_to_learn_from_is_said(small: Any) -> None:
    from transformers import AutoTokenizer

    rows = [row.model_copy(update={"completion": None}) for row in small.rows]
    with pytest.raises(RunError, match="no row has a completion"):
        tokenised(AutoTokenizer.from_pretrained(small.base.path), rows, small.recipe())
