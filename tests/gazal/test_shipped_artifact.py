"""Everything that shows figures or answers of the shipped small model is of the adapters that are shipped."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gazal.artifact import load_manifest
from gazal.nano import SHIPPED

ROOT = Path(__file__).parents[2]
MANIFEST = load_manifest(SHIPPED)


RECORDINGS = sorted((ROOT / "ui" / "recordings").glob("*.jsonl"))
BASELINE, BENCHMARKS = (
    json.loads((ROOT / "eval" / "baselines" / name).read_text(encoding="utf-8"))
    for name in ("nano.json", "nano-benchmarks.json")
)


def test_its_card_and_its_training_report_are_its_own() -> None:
    assert f"`{MANIFEST.digest}`" in (SHIPPED / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert MANIFEST.digest in (SHIPPED / "training-report.html").read_text(encoding="utf-8")


def test_the_readme_shows_its_answer() -> None:
    assert f"digest {MANIFEST.digest[:16]}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_baseline_of_the_gate_was_measured_on_it() -> None:
    assert (BASELINE["artifact"], BASELINE["complete"]) == (MANIFEST.digest, True)
    assert {"gazal_fresh", "gazal_combinations", "gazal_conditions"} <= set(BASELINE["tasks"])


def test_the_card_shows_the_figures_of_the_clinic_and_of_the_benchmarks() -> None:
    assert BENCHMARKS["artifact"] == MANIFEST.digest
    card = (SHIPPED / "MODEL_CARD.md").read_text(encoding="utf-8")
    for task in (BASELINE["tasks"] | BENCHMARKS["tasks"]).values():
        assert f"| {task['title']} | {task['questions']} | {task['strict']['value']:.1%} |" in card


def test_there_are_recorded_answers() -> None:
    assert len(RECORDINGS) >= 7


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_the_recorded_answers_are_its_own(path: Path) -> None:
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert first["digest"] == MANIFEST.digest


def test_nothing_shipped_tells_where_it_was_made() -> None:
    texts = [
        path.read_text(encoding="utf-8") for path in SHIPPED.rglob("*") if path.suffix in (".json", ".md", ".html")
    ]
    assert len(texts) > 4
    assert not [found for text in texts for found in re.findall(r"/(?:root|home|work|tmp)/[\w/.-]+", text)]
