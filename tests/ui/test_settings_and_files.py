"""Settings, recordings and benchmark reports: what is read, and what a bad one says."""

from __future__ import annotations

import json

import pytest

from eval.results import Results
from tests.ui.answers import response
from tests.ui.test_run import Scripted, step
from ui.__main__ import RECORDINGS
from ui.benchmarks import benchmarks_view
from ui.client import Event, Failure
from ui.replay import RecordingError, ReplaySource, load_recordings, record
from ui.serve import requests_to_record, services_of
from ui.settings import SettingsError, UiSettings
from ui.texts import LANGUAGES

EN = LANGUAGES["en"]


def test_settings_come_from_the_environment_and_the_command_line_wins() -> None:
    environment = {
        "GAZAL_UI_SERVER_URL": "http://gpu:8000/",
        "GAZAL_UI_PORT": "7000",
        "GAZAL_UI_API_KEY": "gazal_x",
        "PATH": "/",
    }
    found = UiSettings.from_environment(environment, port=7001, host=None)
    assert (found.server_url, found.port, found.host) == ("http://gpu:8000", 7001, "127.0.0.1")
    assert "gazal_x" not in repr(found)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"GAZAL_UI_PORT": "99999"}, "GAZAL_UI_PORT"),
        ({"GAZAL_UI_SERVER_URL": "gpu:8000"}, "GAZAL_UI_SERVER_URL"),
        ({"GAZAL_UI_ROOT_PATH": "gazal/"}, "GAZAL_UI_ROOT_PATH"),
        ({"GAZAL_UI_PROT": "1"}, "is no setting"),
    ],
)
def test_a_wrong_setting_is_named(environment, words) -> None:
    with pytest.raises(SettingsError, match=words):
        UiSettings.from_environment(environment)


def test_only_loopback_names_are_hosts_by_default() -> None:
    assert UiSettings().hosts == ["127.0.0.1", "localhost", "::1"]
    assert UiSettings(host="0.0.0.0").hosts == ["*"]
    assert UiSettings.from_environment({"GAZAL_UI_ALLOWED_HOSTS": "a.example, b.example"}).hosts == [
        "a.example",
        "b.example",
    ]


def test_a_key_may_come_from_a_mounted_file(tmp_path) -> None:
    (tmp_path / "key").write_text("gazal_secret\n")
    found = UiSettings.from_environment({"GAZAL_UI_API_KEY_FILE": str(tmp_path / "key")})
    assert found.api_key is not None
    assert found.api_key.get_secret_value() == "gazal_secret"
    with pytest.raises(SettingsError, match=r"GAZAL_UI_COMPARE_API_KEY_FILE: .*none cannot be read"):
        UiSettings.from_environment({"GAZAL_UI_COMPARE_API_KEY_FILE": str(tmp_path / "none")})


async def test_what_is_recorded_is_replayed(tmp_path) -> None:
    request = {"mode": "diagnosis", "vignette": "x", "max_tokens": 9, "samples": 1, "temperature": 0.7}
    source = Scripted(step(1), Event("done", response()))
    made = await record(source, request, tmp_path / "a.jsonl")
    (found,) = load_recordings(tmp_path)
    assert found == made
    replay = ReplaySource([found], pace=0)
    asked = request | {"max_tokens": 100, "temperature": 0.2}
    assert [event.name async for event in replay.stream(asked)] == ["step", "done"]
    assert (await replay.model()).name == "gazal-r1-nano"


async def test_a_case_that_was_not_recorded_gets_no_other_cases_answer(tmp_path) -> None:
    await record(
        Scripted(Event("done", response())), {"mode": "diagnosis", "vignette": "x", "seed": 7}, tmp_path / "a.jsonl"
    )
    replay = ReplaySource(load_recordings(tmp_path), pace=0)
    assert replay.find({"mode": "diagnosis", "vignette": "x"}) is not None
    for other in ({"mode": "diagnosis", "vignette": "y"}, {"mode": "diagnosis", "vignette": "x", "seed": 8}):
        with pytest.raises(Failure, match="") as caught:
            [event async for event in replay.stream(other)]
        assert caught.value.kind == "no_recording"


@pytest.mark.parametrize("text", ["", "{}", '{"request": {}}\n', "nonsense"])
def test_a_broken_recording_is_named(tmp_path, text) -> None:
    (tmp_path / "bad.jsonl").write_text(text)
    with pytest.raises(RecordingError, match=r"bad\.jsonl"):
        load_recordings(tmp_path)


def test_every_example_has_its_recording_and_each_says_what_it_is() -> None:
    """Those that are shipped; `python -m ui record` makes them from a running server."""
    replay = ReplaySource(load_recordings(RECORDINGS))
    if not replay.recordings:
        pytest.skip("none are shipped yet: python -m ui record, over the served small model")
    for name, request in requests_to_record(UiSettings()).items():
        recording = replay.find(request)
        assert recording is not None, f"{name}: python -m ui record"
        assert len(recording.digest) == 64
        assert recording.recorded[:2] == "20"
        assert recording.events[-1][1].data["provenance"]["artifact_digest"] == recording.digest


def test_without_recordings_the_page_says_what_makes_them(tmp_path) -> None:
    with pytest.raises(RecordingError, match="python -m ui record"):
        services_of(UiSettings(), tmp_path)


def results(**changes) -> dict:
    mean = {"value": 0.31, "standard_error": 0.05, "interval": {"low": 0.21, "high": 0.43}, "n": 80, "clusters": 80}
    task = {
        "task": "gazal_medqa", "title": "MedQA <b>", "questions": 80, "expected_questions": 80, "published_rows": 1273,
        "replies": 80, "expected_replies": 80, "repeats": 1, "strict": mean, "answered_only": mean, "best_case": mean,
        "majority_vote": None, "content_only": 0.3, "answered_then_cut": 0, "majority_label": 0.28, "chance": 0.25,
        "failures": {"truncated": 20, "no_answer": 10, "ambiguous": 0, "out_of_range": 0, "empty": 0, "error": 2},
        "methods": {}, "error_kinds": {}, "retries": 0, "near_copies": 0, "detectable_difference": 0.1,
        "efficiency": {
            "completion_tokens": 1, "reasoning_tokens": None, "reasoning_estimated": True, "answer_tokens": None,
            "latency_s": None, "first_token_s": None,
        },
        "budget_curve": [], "breakdowns": [], "labels": None,
        "calibration": {
            "bins": [{"low": 0.0, "high": 0.5, "n": 40, "confidence": 0.4, "accuracy": 0.2}], "expected_error": 0.1,
            "coverage": [],
        },
        "items": {},
    }  # fmt: skip
    told = {
        "run": "2026-11-28", "model": "nano", "artifact": "a" * 64, "complete": True, "plan": {}, "facts": {},
        "wall_s": 1.0,
        "tokens_per_s": None, "tasks": {"gazal_medqa": task | changes}, "pooled": {},
    }  # fmt: skip
    return Results.model_validate(told).model_dump(mode="json")


def test_the_newest_report_of_make_eval_is_shown(tmp_path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(results() | {"run": name}))
    drawn = benchmarks_view(tmp_path, EN)
    assert "run new" in drawn
    assert "31.0 [21.0, 43.0]" in drawn
    assert "80 / 1,273" in drawn
    assert drawn.count("<svg") == 2
    assert EN["bench_form"] in drawn
    assert "<b>" not in drawn


@pytest.mark.parametrize("text", ["{", "{}", '{"tasks": 1}', '{"tasks": {"a": {}}, "pooled": {}}'])
def test_a_broken_report_is_said_to_be_one(tmp_path, text) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "results.json").write_text(text)
    assert "cannot be read" in benchmarks_view(tmp_path, EN)


def test_without_a_report_the_page_says_how_to_make_one(tmp_path) -> None:
    assert "make eval" in benchmarks_view(tmp_path, EN)
