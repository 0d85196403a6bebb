"""The mean of adapters of one run, and the share of an earlier one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from training.average import average, blend
from training.runs import RunError

if TYPE_CHECKING:
    from pathlib import Path


def adapter(directory: Path, value: float, rank: int = 4, name: str = "lora_A.weight") -> Path:
    directory.mkdir()
    save_file({name: torch.full((rank, 3), value, dtype=torch.bfloat16)}, directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": rank}))
    return directory


def test_each_tensor_is_the_mean_in_float32(tmp_path: Path) -> None:
    three = [adapter(tmp_path / str(value), value) for value in (1.0, 2.0, 4.0)]
    average(three, tmp_path / "mean")
    mean = load_file(tmp_path / "mean/adapter_model.safetensors")["lora_A.weight"]
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, torch.full((4, 3), 7 / 3))
    assert json.loads((tmp_path / "mean/adapter_config.json").read_text())["r"] == 4


def test_adapters_of_another_kind_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    first = adapter(tmp_path / "first", 1.0)
    with pytest.raises(RunError, match=r"r of .*other is 8, of .*first 4"):
        average([first, adapter(tmp_path / "other", 1.0, rank=8)], tmp_path / "mean")
    with pytest.raises(RunError, match="different tensors"):
        average([first, adapter(tmp_path / "foreign", 1.0, name="lora_B.weight")], tmp_path / "mean")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=r"has no adapter_model\.safetensors"):
        average([first, tmp_path / "empty"], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_a_share_of_an_earlier_adapter_is_taken_in_place(tmp_path: Path) -> None:
    trained, start = adapter(tmp_path / "trained", 4.0), adapter(tmp_path / "start", 1.0)
    blend(trained, start, 0.25)
    torch.testing.assert_close(
        load_file(trained / "adapter_model.safetensors")["lora_A.weight"], torch.full((4, 3), 3.25)
    )
    with pytest.raises(RunError, match=r"r of .*other is 8, of .*trained 4"):
        blend(trained, adapter(tmp_path / "other", 1.0, rank=8), 0.5)


def test_one_adapter_has_no_mean_and_no_directory_is_overwritten(tmp_path: Path) -> None:
    first, second = adapter(tmp_path / "first", 1.0), adapter(tmp_path / "second", 2.0)
    with pytest.raises(RunError, match="two adapters or more"):
        average([first], tmp_path / "mean")
    with pytest.raises(RunError, match="exists; name a new directory"):
        average([first, second], second)
