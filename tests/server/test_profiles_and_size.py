"""Engine profiles and sizing: golden arithmetic, flags that vLLM knows, advice that fits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gazal.artifact import Base, Manifest
from gazal.models import Model
from server import engine as engine_module
from server.engine import EngineFailedError, command
from server.profiles import ProfileError, load, names
from server.settings import Settings
from server.sizing import GPUS, QWEN3_32B, fit, size


@pytest.fixture
def model(tmp_path: Path) -> Model:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 40960}')
    manifest = Manifest(name="m", base=Base(reference="r"), licence="x", files={}, digest="0" * 64)
    return Model(tmp_path, manifest)


def value_of(words: list[str], flag: str) -> str:
    """The value that counts: argparse takes the last."""
    return [words[place + 1] for place, word in enumerate(words) if word == flag][-1]


def test_every_profile_is_sound_and_fits_its_own_hardware() -> None:
    assert names() == ["balanced", "cpu", "latency", "reference", "reference-h200"]
    for profile in map(load, names()):
        if profile.gpu == "cpu":
            continue
        assert profile.flags.get("tensor-parallel-size", 1) == profile.count, profile.name
        context = profile.flags["max-model-len"]
        way = fit(GPUS[profile.gpu], profile.count, context, 1, profile.weights, draft_gb=profile.draft_gb)
        assert way.users_at_once >= 4, (profile.name, way)


def test_an_unknown_profile_is_refused_by_name() -> None:
    with pytest.raises(ProfileError, match="use one of: balanced, cpu, latency, reference"):
        load("../keys")
    with pytest.raises(ValidationError, match="no profile 'fast'"):
        Settings(profile="fast")


def test_a_profile_names_the_model_unless_told_otherwise() -> None:
    assert Settings(profile="balanced").model == "TachyHealth/Gazal-R1-32B-GRPO-preview"
    assert Settings(profile="balanced", model="/models/mine").model == "/models/mine"
    assert Settings().model == "nano"


def test_the_local_engine_gets_the_flags_and_settings_win(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "runs_on_cpu", lambda: False)
    words = command(model, Settings(profile="reference"), Path("s"))
    assert value_of(words, "--tensor-parallel-size") == "2"
    assert value_of(words, "--max-model-len") == "16384"
    assert value_of(words, "--shutdown-timeout") == "300"
    settings = Settings(profile="reference", engine_context_tokens=4096, engine_args=["--tensor-parallel-size", "4"])
    words = command(model, settings, Path("s"))
    assert value_of(words, "--max-model-len") == "4096"
    assert value_of(words, "--tensor-parallel-size") == "4"


def test_weights_that_are_quantized_already_are_not_quantized_again(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "runs_on_cpu", lambda: False)
    assert "fp8_per_channel" in command(model, Settings(profile="balanced"), Path("s"))
    (model.path / "config.json").write_text('{"quantization_config": {"quant_method": "compressed-tensors"}}')
    assert "--quantization" not in command(model, Settings(profile="balanced"), Path("s"))


def test_a_gpu_profile_on_a_cpu_engine_is_refused_with_the_fix(model: Model) -> None:
    with pytest.raises(EngineFailedError, match="take --profile cpu"):
        command(model, Settings(profile="latency"), Path("s"))
    assert value_of(command(model, Settings(profile="cpu"), Path("s")), "--max-num-seqs") == "32"


def test_the_shape_gives_the_known_sizes_of_qwen3_32b() -> None:
    assert QWEN3_32B.cache_bytes_per_token == 256 << 10
    assert QWEN3_32B.weights_gb("bf16") == pytest.approx(65.5, abs=0.05)  # 32.8 billion parameters
    assert QWEN3_32B.weights_gb("fp8") == pytest.approx(34.3, abs=0.05)
    assert QWEN3_32B.read_gb("bf16") == pytest.approx(64.0, abs=0.05)


def test_the_roofline_of_one_user_is_bandwidth_over_bytes_read() -> None:
    assert fit(GPUS["h200"], 1, 4096, 1, "bf16").tokens_per_second_one == pytest.approx(4800 / 63.97, abs=0.1)
    assert fit(GPUS["h100"], 1, 4096, 1, "fp8").tokens_per_second_one == pytest.approx(3350 / 32.76, abs=0.1)


def test_the_question_of_the_documentation() -> None:
    asked = size(GPUS["h100"], 1, 8192, 32)
    assert (asked.fits, asked.profile) == (False, "balanced")
    assert asked.advice.endswith(
        "17 of 32 users with a full context would wait: 1 x h200 with fp8 weights would serve 32"
    )
    assert size(GPUS["h100"], 2, 8192, 32).profile == "reference"
    assert size(GPUS["h200"], 1, 8192, 16).profile == "reference-h200"
    assert size(GPUS["h100"], 1, 8192, 8).profile == "balanced"
    nothing = size(GPUS["l4"], 1, 8192, 1)
    assert (nothing.fits, nothing.profile) == (False, None)
    assert "34.3 GB and 17.6 GB are usable" in nothing.ways[1].reason


def test_fp8_is_not_offered_where_the_gpu_cannot() -> None:
    assert [way.weights for way in size(GPUS["a100-80"], 1, 4096, 1).ways] == ["bf16"]


def test_more_users_than_the_profile_takes_are_an_override() -> None:
    assert size(GPUS["b200"], 4, 8192, 132).overrides == {
        "tensor-parallel-size": 4,
        "max-model-len": 8192,
        "max-num-seqs": 132,
    }


@given(
    gpu=st.sampled_from(sorted(GPUS)),
    count=st.sampled_from([1, 2, 4, 8]),
    context=st.integers(256, 40960),
    users=st.integers(1, 2000),
)
def test_what_is_said_to_fit_fits_in_memory(gpu: str, count: int, context: int, users: int) -> None:
    sizing = size(GPUS[gpu], count, context, users)
    for way in sizing.ways:
        used_gb = way.weights_gb + way.users_at_once * context * QWEN3_32B.cache_bytes_per_token / 1e9
        assert not way.users_at_once or used_gb <= count * GPUS[gpu].memory_gb
        assert way.fits == (way.users_at_once >= users)
        assert way.tokens_per_second_all <= max(1, users) * max(1.0, way.tokens_per_second_one) + 1
    assert sizing.fits == any(way.fits for way in sizing.ways)


def test_the_command_prints_a_table_or_json_and_its_status_says_whether_it_fits() -> None:
    base = [sys.executable, "-m", "server", "size", "--gpu"]
    table = subprocess.run([*base, "h100"], capture_output=True, text=True, check=False)
    assert table.returncode == 1
    assert "not measured" in table.stdout
    asked = subprocess.run([*base, "h200", "--users", "4", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(asked.stdout)["profile"] == "reference-h200"
    wrong = subprocess.run([*base, "h100", "--count", "3"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "1, 2, 4 or 8" in wrong.stderr
    unknown = subprocess.run([*base, "abacus"], capture_output=True, text=True, check=False)
    assert unknown.returncode == 2
