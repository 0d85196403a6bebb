"""One page shows a run at any stage, and says first what calls for a look."""

from __future__ import annotations

import html.parser
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gazal.artifact import ArtifactError, Base, Manifest, Stage, digest_of
from training import recipe as recipes
from training.__main__ import app
from training.recipe import load
from training.report import read_metrics, shortened, write_report
from training.report_charts import step_times
from training.report_plots import Line, line_chart
from training.runs import RunError

RECIPES = Path(recipes.__file__).parent / "recipes"
HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>"
RIGHT = "<think>\nStep 1: a b c d e\nStep 2: f g h i j\n</think>\n\n## A\n**B**: c\n\nFinal answer: \\boxed{%s}"


def begin(path: Path, recipe: str = "tiny") -> Path:
    path.mkdir()
    dumped = load(RECIPES / f"{recipe}.yaml").recipe.model_dump(mode="json")
    (path / "recipe.json").write_text(json.dumps({"recipe": dumped, "origins": {}}))
    environment = {"git_commit": "c0ffee" * 6, "python": "3.11", "libraries": {"torch": "2.13"}, "device": "CPU"}
    (path / "environment.json").write_text(json.dumps(environment | {"devices": 1, "threads": 2}))
    return path


def log_metrics(stage: Path, steps: int, **more: float) -> None:
    stage.mkdir(exist_ok=True)
    rows: list[dict[str, float]] = [
        {"loss": 2 / step, "grad_norm": 1.0, "learning_rate": 1e-3, "dora/magnitude_change": step / 100, **more}
        | {"step": step, "seconds": 2.0 * step}
        for step in range(1, steps + 1)
    ]
    rows.append({"eval_loss": 0.5, "step": steps, "seconds": 2.0 * steps + 30})
    (stage / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def logged(step: int, completion: str, **changed: Any) -> dict[str, Any]:
    line = {"step": step, "example": f"case-{step}", "prompt": "Which?", "completion": completion, "opened": False}
    line |= {"answer": "A", "choices": ["A", "B"], "label": "A", "tokens": 100, "truncated": False, "total": 1.2}
    return line | {"lacks": [], "accuracy": 1.0, "format": 1.0, "length": 0.0, "repetition": 0.0} | changed


def log_completions(stage: Path, steps: int) -> None:
    """Half of the completions are right, one a step is paid for two answers, and that one is hostile."""
    (stage / "completions").mkdir()
    for step in range(1, steps + 1):
        lines = [
            logged(step, RIGHT % "A"),
            logged(step, RIGHT % "B", label="B", accuracy=0.0, total=0.0, lacks=["steps"], format=0.75),
            logged(step, RIGHT % "A" + f" or \\boxed{{B}} {HOSTILE}", total=1.3, example=HOSTILE),
        ]
        path = stage / "completions" / f"step-{step:05d}.0.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def merge(stage: Path, kind: str) -> str:
    merged = stage / "merged"
    merged.mkdir()
    (stage / "adapter").mkdir()
    figures = {"loss": 0.1, "merge/relative_change": 0.0125, "verification/agreement": 0.9975}
    entry = Stage(
        kind=kind, recipe_sha256="a" * 64, data_sha256={}, git_commit="beef", seed=1, steps=12, metrics=figures
    )
    files = {"model.safetensors": ("1" if kind == "sft" else "2") * 64}
    Manifest(
        name="tiny", base=Base(reference="a base"), stages=[entry], licence="x", files=files, digest=digest_of(files)
    ).save(merged)
    return digest_of(files)


def answer_held_out(stage: Path, right: int, name: str = "held_out.jsonl") -> None:
    rows = [
        {"example": f"q{n}", "topic": ("diagnosis", "test")[n % 2], "right": "A", "failure": None, "completion": "x"}
        | {"label": "A" if n < right else "B"}
        for n in range(40)
    ]
    (stage / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """The page of a run with both stages, and the digests of its artifacts."""
    run = begin(tmp_path_factory.mktemp("runs") / "run")
    log_metrics(run / "sft", 12)
    log_metrics(run / "grpo", 12, entropy=0.5, kl=0.1, frac_reward_zero_std=0.2, **{"clip_ratio/low_mean": 0.0})
    log_completions(run / "grpo", 12)
    digests = [merge(run / kind, kind) for kind in ("sft", "grpo")]
    answer_held_out(run / "sft", 10)
    answer_held_out(run / "grpo", 30)
    answer_held_out(run / "sft", 8, "held_out_sampled.jsonl")
    answer_held_out(run / "grpo", 20, "held_out_sampled.jsonl")
    return write_report(run).read_text(encoding="utf-8"), digests


class Tags(html.parser.HTMLParser):
    """Collects elements and attributes as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += attrs


def test_the_page_names_recipe_commit_artifacts_and_what_the_model_is_not(finished: tuple[str, list[str]]) -> None:
    page, digests = finished
    for text in ("tiny", "c0ffee" * 6, *digests, "torch 2.13", "Research use only", "not clinically useful"):
        assert text in page


def test_every_figure_of_the_dashboard_has_its_chart(finished: tuple[str, list[str]]) -> None:
    titles = re.findall(r"<figure>\s*<h3>([^<]*)</h3>", finished[0])
    assert titles == [
        "Held-out accuracy",
        "Reward and accuracy",
        "Reward against measurement",
        "Reward components",
        "Correlation with being right",
        "Length of right and wrong completions",
        "Truncated completions",
        "Format: what is lacking",
        "Groups that are all right or all wrong",
        "Most frequent answer",
        "Answers by label",
        "Entropy of the policy",
        "Clipped tokens",
        "KL divergence from the stage-1 model",
        "Groups without variance",
        *(2 * ["Loss", "Learning rate", "Gradient norm", "Change of DoRA&#39;s magnitudes", "Time a step"]),
    ]


def test_pictures_are_whole_and_take_their_colours_from_the_page(finished: tuple[str, list[str]]) -> None:
    pictures = re.findall(r'<div class="picture"[^>]*>(<svg.*?</svg>)', finished[0], re.DOTALL)
    assert len(pictures) == 25
    for picture in pictures:
        ET.fromstring(picture)
        assert "var(--ink)" in picture
        assert re.search(r"#[0-9a-f]{6}\b", picture.replace("url(#", "")) is None


def test_the_page_needs_no_network_and_runs_nothing(finished: tuple[str, list[str]]) -> None:
    tags = Tags(finished[0])
    assert tags.elements & {"script", "img", "link", "iframe", "object", "embed", "base", "form"} == set()
    assert [name for name, _ in tags.attributes if name.startswith("on") or name == "src"] == []
    links = [value for name, value in tags.attributes if name in ("href", "xlink:href")]
    assert all(value and value.startswith("#") for value in links)


def test_a_hostile_completion_is_shown_as_text(finished: tuple[str, list[str]]) -> None:
    assert "&lt;/pre&gt;&lt;script&gt;alert(1)" in finished[0]
    assert HOSTILE not in finished[0]


def test_a_reward_that_is_gamed_is_said_first_and_shown(finished: tuple[str, list[str]]) -> None:
    first = re.search(r'<ul class="signs">\s*<li>(.*?)</li>', finished[0], re.DOTALL)
    assert first is not None
    assert "33.3% of the last completions were rewarded as right" in first[1]
    assert "Paid as right, and not right as measured" in finished[0]


def test_held_out_accuracy_comes_with_intervals_and_the_paired_test(finished: tuple[str, list[str]]) -> None:
    page = finished[0]
    assert "20 questions gained, 0 lost, p = 1.9e-06" in page
    assert "10 (25.0%)" in page
    assert "14.2% to 40.2%" in page, "Wilson's interval of 10 in 40"
    assert "30 (75.0%)" in page
    assert "20.0% right after stage 1, 50.0% after stage 2; 12 gained, 0 lost, p = 0.00049" in page


def test_the_merge_is_shown_with_its_verification(finished: tuple[str, list[str]]) -> None:
    assert re.search(r'merge/relative_change</td><td class="n">0.0125</td><td class="n">0.0125', finished[0])
    assert re.search(r'verification/agreement</td><td class="n">0.9975</td>', finished[0])


def test_a_run_in_its_first_stage_is_shown_up_to_the_last_whole_line(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    log_metrics(run / "sft", 5)
    with (run / "sft" / "metrics.jsonl").open("a") as file:
        file.write('{"loss": 0.1, "st')
    page = write_report(run).read_text(encoding="utf-8")
    assert re.search(r"<th>sft</th><td>step 5 of \d+, last logged at ", page)
    assert "<th>grpo</th><td>no step logged yet</td>" in page
    assert "Stage 1: supervised fine-tuning" in page
    assert "Stage 2" not in page


def test_a_run_without_steps_is_one_sentence(tmp_path: Path) -> None:
    page = write_report(begin(tmp_path / "run", "gazal-r1-32b")).read_text(encoding="utf-8")
    assert "No step is logged yet." in page
    assert "<figure>" not in page
    assert "Research use only" in page
    assert "small model" not in page


def test_a_page_that_cannot_be_made_leaves_the_one_before(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    before = write_report(run).read_text(encoding="utf-8")
    merged = run / "sft" / "merged"
    merged.mkdir(parents=True)
    (merged / "gazal.json").write_text("{")
    with pytest.raises(ArtifactError, match="restore it or build the artifact again"):
        write_report(run)
    assert (run / "report.html").read_text(encoding="utf-8") == before
    assert [each.name for each in run.iterdir() if each.name.endswith(".partial")] == []


def test_a_disk_that_fills_up_leaves_the_page_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin(tmp_path / "run")
    (run / "report.html").write_text("before")

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(run)
    assert (run / "report.html").read_text(encoding="utf-8") == "before"
    assert sorted(each.name for each in run.iterdir()) == ["environment.json", "recipe.json", "report.html"]


def test_the_command_says_where_the_page_is_or_what_is_wrong(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    made = CliRunner().invoke(app, ["report", str(run)])
    assert made.exit_code == 0
    assert str(run / "report.html") in made.output
    refused = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert refused.exit_code == 1
    assert "is no run: it has no recipe.json" in refused.output


def test_damaged_metrics_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(RunError, match="damaged at line 2"):
        read_metrics(path)


def test_time_a_step_leaves_evaluation_out_and_survives_a_resume() -> None:
    rows: list[dict[str, float | None]] = [
        {"loss": 1, "step": 1, "seconds": 5},
        {"loss": 1, "step": 2, "seconds": 7},
        {"eval_loss": 1, "step": 2, "seconds": 40},
        {"loss": 1, "step": 3, "seconds": 42},
        {"loss": 1, "step": 4, "seconds": 6},
    ]
    assert step_times(rows) == {1: 5, 2: 2, 3: 2, 4: 6}


def test_a_long_text_keeps_its_end_where_the_answer_is() -> None:
    text = "a" * 50 + "b" * 50
    assert shortened(text, 100) == text
    assert shortened(text, 20) == "a" * 10 + "\n\n[... 80 characters left out ...]\n\n" + "b" * 10


def test_a_chart_without_a_value_is_none_and_one_value_is_a_chart() -> None:
    assert line_chart("t", "l", [Line("x", [1, 2], [None, None])]) is None
    chart = line_chart("t", "l", [Line("x", [1], [0.25])], scale="share")
    assert chart is not None
    assert [entry.note for entry in chart.legend] == ["25% → 25%"]


def test_a_line_without_values_leaves_the_others_their_colours() -> None:
    chart = line_chart("t", "l", [Line("right", [1], [None]), Line("wrong", [1], [3])])
    assert chart is not None
    assert [(entry.label, entry.series) for entry in chart.legend] == [("wrong", 2)]
    assert "var(--series-2)" in chart.svg
    assert "var(--series-1)" not in chart.svg
