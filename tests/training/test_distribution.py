"""How a run is started must agree with its recipe; what is refused is refused with the command that is right."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from training.distribution import check_launch, on_main
from training.order import ByLength
from training.recipe import Recipe, load
from training.runs import RunError, StageDirectory
from training.watch import read_metrics

if TYPE_CHECKING:
    from tests.training.conftest import Small
    from training.bases import PreparedBase

LAUNCHER = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP", "FSDP_VERSION", "WORLD_SIZE", "RANK")


def recipe(distribution: str, count: int = 1) -> Recipe:
    tree = load(Path("training/recipes/tiny.yaml")).recipe.model_dump(mode="json")
    tree["distribution"] = distribution
    tree["expected"]["count"] = count
    tree["grpo"]["optimisation"]["accumulation"] //= count
    return Recipe.model_validate(tree)


@pytest.fixture(autouse=True)
def _plain_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in LAUNCHER:
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("distribution", "count", "environment"),
    [
        ("single", 1, {}),
        ("ddp", 2, {"WORLD_SIZE": "2"}),
        ("fsdp2", 2, {"WORLD_SIZE": "2", "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}),
    ],
)
def test_a_start_that_agrees_is_accepted(
    distribution: str, count: int, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    check_launch(recipe(distribution, count))


@pytest.mark.parametrize(
    ("distribution", "count", "environment", "said"),
    [
        ("fsdp2", 2, {}, r"accelerate launch --config_file training/accelerate/fsdp2\.yaml --num_processes 2"),
        ("single", 1, {"WORLD_SIZE": "2"}, "started as ddp; start it with `python -m training"),
        ("ddp", 2, {"WORLD_SIZE": "4"} | {"RANK": "0"}, "for 2 processes .* and 4 were started"),
        ("fsdp2", 2, {"WORLD_SIZE": "2", "ACCELERATE_USE_FSDP": "true"}, "started as fsdp1"),
        ("fsdp2", 2, {"WORLD_SIZE": "2", "ACCELERATE_USE_DEEPSPEED": "true"}, "ZeRO-3 cannot train DoRA"),
    ],
)
def test_another_start_is_refused_with_the_fix(
    distribution: str, count: int, environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match=said):
        check_launch(recipe(distribution, count))


def test_alone_the_main_process_just_works() -> None:
    assert on_main(lambda: 7) == 7


@pytest.mark.parametrize("name", ["single", "ddp", "fsdp2"])
def test_the_launch_files_say_what_they_are(name: str) -> None:
    settings = yaml.safe_load(Path(f"training/accelerate/{name}.yaml").read_text())
    assert settings["distributed_type"] == {"single": "NO", "ddp": "MULTI_GPU", "fsdp2": "FSDP"}[name]


def test_rows_that_are_taken_at_once_have_like_lengths_and_a_step_has_all_lengths() -> None:
    lengths = torch.randint(100, 900, (1001,), generator=torch.Generator().manual_seed(1)).tolist()
    order = list(ByLength(lengths, at_once=2, batch=4, seed=3))
    assert sorted(order) == list(range(1001))
    again = ByLength(lengths, at_once=2, batch=4, seed=3)
    assert list(again) == order
    again.set_epoch(1)
    assert list(again) != order
    ordered = [lengths[index] for index in order]
    padding = sum(abs(one - other) for one, other in zip(ordered[0:1000:2], ordered[1:1000:2], strict=True)) / 1000
    assert padding < 5, "tokens a row"
    tens = [sum(ordered[start : start + 10]) / 10 for start in range(0, 1000, 10)]
    assert max(tens) < 800, "long rows do not come in blocks"
    assert min(tens) > 250


TOGETHER = """
import os, pickle, sys
from pathlib import Path
from training import grpo, sft
from training.runs import StageDirectory
from training.watch import Watch

class Killed(Exception):
    pass

assert os.environ["WORLD_SIZE"] == "2"

step = Watch.on_log
for kind, recipe, base, rows, path, dies_after in pickle.loads(Path(sys.argv[1]).read_bytes()):
    def on_log(self, args, state, *rest, **named):
        step(self, args, state, *rest, **named)
        if state.global_step == dies_after:
            raise Killed
    Watch.on_log = on_log
    stage = StageDirectory(path)
    try:
        sft.train(recipe, base, rows, [], stage) if kind == "sft" else grpo.train(recipe, base.path, rows, stage)
    except Killed:
        pass
"""


def together(tasks: list[tuple[Any, ...]], distribution: str, directory: Path) -> None:
    """Run the tasks one after the other in two processes.

    Without --cpu, with which accelerate 1.15 starts one process whatever number it is given.
    """
    script, task = directory / "script.py", directory / "task.pickle"
    script.write_text(TOGETHER)
    task.write_bytes(pickle.dumps(tasks))
    launch = ["-m", "accelerate.commands.launch", "--config_file", f"training/accelerate/{distribution}.yaml"]
    finished = subprocess.run(
        [sys.executable, *launch, "--num_processes", "2", "--main_process_port", "0", str(script), str(task)],
        env=os.environ | {"PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]


def halved(small: Small, distribution: str, **changes: Any) -> Recipe:
    """The recipe for two processes that do together what one does."""
    return small.recipe(
        **changes,
        distribution=distribution,
        expected__count=2,
        sft__optimisation__micro_batch=2,
        grpo__optimisation__accumulation=1,
    )


def losses(stage: StageDirectory) -> list[float | None]:
    return [row["loss"] for row in read_metrics(stage.metrics) if "loss" in row]


@pytest.fixture(scope="module")
def untied(small: Small, tmp_path_factory: pytest.TempPathFactory) -> PreparedBase:
    """The small base with a head of its own and nothing left to add: what FSDP2 takes."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3ForCausalLM

    directory = tmp_path_factory.mktemp("untied") / "base"
    tied = AutoModelForCausalLM.from_pretrained(small.base.path)
    tied.config.tie_word_embeddings = False
    model = Qwen3ForCausalLM(tied.config)
    model.load_state_dict(tied.state_dict())
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(small.base.path).save_pretrained(directory)
    return dataclasses.replace(small.base, path=directory, added_tokens=[])


def check_second_stage(stage: StageDirectory) -> None:
    """Four steps of eight completions, half from each process, one log of them all, and a policy that moved."""
    logged = [
        json.loads(line)
        for path in sorted((stage.path / "completions").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    figures = [row for row in read_metrics(stage.metrics) if "reward" in row]
    assert [row["step"] for row in figures] == [1, 2, 3, 4]
    for row in figures:
        own = [each["total"] for each in logged if each["step"] == row["step"]]
        assert len(own) == 8
        assert row["reward"] == pytest.approx(sum(own) / 8, abs=1e-4)
    assert any(row["grad_norm"] for row in figures)
    assert figures[-1]["dora/magnitude_change"]
    assert (stage.adapter / "adapter_model.safetensors").is_file()


VARIES = {"grpo__rewards__repetition_ngram": 1, "grpo__mask_truncated": False}
"""Random weights write nothing that is right; repeated tokens tell their completions apart."""
LEARNS = {"data__max_completion_tokens": 512, "sft__optimisation__learning_rate": 5e-3}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
def test_two_processes_learn_what_one_learns(small: Small, tmp_path: Path) -> None:
    """DDP over gloo: the same examples a step, one log, one adapter in PEFT's format; then stage 2."""
    from training.sft import train

    alone, stage, second = (StageDirectory(tmp_path / name) for name in ("alone", "sft", "grpo"))
    train(small.recipe(**LEARNS), small.base, small.rows, [], alone)
    tasks = [
        ("sft", halved(small, "ddp", **LEARNS), small.base, small.rows, stage.path, None),
        ("grpo", halved(small, "ddp", **VARIES), small.base, small.rows, second.path, None),
    ]
    together(tasks, "ddp", tmp_path)
    assert losses(stage) == pytest.approx(losses(alone), rel=1e-5)
    assert min(each or 0.0 for each in losses(alone)) < (losses(alone)[0] or 0.0), (
        "it learned something that could differ"
    )
    ours, theirs = (load_file(each.adapter / "adapter_model.safetensors") for each in (stage, alone))
    assert ours.keys() == theirs.keys()
    check_second_stage(second)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
def test_shards_learn_what_one_process_learns_and_go_on_where_they_stopped(
    small: Small, untied: PreparedBase, tmp_path: Path
) -> None:
    """FSDP2 over gloo, killed after step 3 and begun again from the checkpoint of step 2; then stage 2."""
    from gazal.merge import merge
    from training.sft import train

    alone, stage, stopped, second = (StageDirectory(tmp_path / name) for name in ("alone", "sft", "stopped", "grpo"))
    train(small.recipe(**LEARNS), untied, small.rows, [], alone)
    recipe = halved(small, "fsdp2", **LEARNS)
    tasks = [
        ("sft", recipe, untied, small.rows, stage.path, None),
        ("sft", recipe, untied, small.rows, stopped.path, 3),
        ("sft", recipe, untied, small.rows, stopped.path, None),
        ("grpo", halved(small, "fsdp2", **VARIES), untied, small.rows, second.path, None),
    ]
    together(tasks, "fsdp2", tmp_path)
    assert losses(stage) == pytest.approx(losses(alone), rel=1e-5)
    assert losses(stopped) == pytest.approx(losses(stage), rel=1e-5)
    theirs = load_file(alone.adapter / "adapter_model.safetensors")
    for each in (stage, stopped):
        ours = load_file(each.adapter / "adapter_model.safetensors")
        assert {name: tensor.shape for name, tensor in ours.items()} == {k: v.shape for k, v in theirs.items()}
        for name, tensor in theirs.items():
            torch.testing.assert_close(ours[name], tensor, atol=1e-3, rtol=1e-2, msg=name)
    report = merge(untied.path, stage.adapter, tmp_path / "merged")
    assert report.merged_modules == 14
    check_second_stage(second)
