"""The merge: the formula by hand, parity with PEFT, and a base that is never touched."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from gazal.merge import MergeError, ModuleAdapter, merge, merged_weight

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
PROMPTS = torch.arange(60).reshape(4, 15) % 64


@pytest.fixture(params=["one file", "shards", "bfloat16", "untied"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A tiny model on disk, in the layouts that occur."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=request.param != "untied",
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16 if request.param == "bfloat16" else torch.float32)
    directory = tmp_path / "base"
    model.save_pretrained(directory, max_shard_size="20KB" if request.param == "shards" else "1GB")
    (directory / "tokenizer_config.json").write_text("{}")
    (directory / "README.md").write_text("a card")
    (directory / "gazal.json").write_text("{}")
    return directory


def trained(base: Path, directory: Path, **options: Any) -> Path:
    """An adapter with random values, as a run would leave it."""
    torch.manual_seed(1)
    model = LlamaForCausalLM.from_pretrained(base)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "lora_dropout": 0.0} | options
    adapted = get_peft_model(model, LoraConfig(**settings))
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            spread = 0.2 if "magnitude" in name else 0.5
            parameter.data += spread * torch.randn_like(parameter)
    adapted.save_pretrained(directory)
    return directory


def digest(directory: Path) -> str:
    sha = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest()


def test_dora_by_hand() -> None:
    weight = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    module = ModuleAdapter(
        torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0], [1.0]]), torch.tensor([10.0, 1.0]), scale=2.0
    )
    # W + 2BA is [[3, 4], [0, 6]]: row norms 5 and 6, magnitudes 10 and 1
    assert torch.allclose(
        merged_weight(weight, module, []), torch.tensor([[6.0, 8.0], [0.0, 1.0]], dtype=torch.float64)
    )
    assert merged_weight(weight, module, [], torch.float32).dtype == torch.float32
    assert torch.equal(weight, torch.tensor([[3.0, 0.0], [0.0, 2.0]]))


def test_lora_by_hand_and_replaced_rows() -> None:
    weight = torch.zeros(3, 2)
    module = ModuleAdapter(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0], [2.0], [0.0]]), scale=0.5)
    assert merged_weight(weight, module, []).tolist() == [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]
    rows = ModuleAdapter(token_rows=torch.tensor([[7.0, 8.0]]))
    assert torch.equal(merged_weight(weight, rows, [2])[2], torch.tensor([7.0, 8.0]))


@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": True, "use_rslora": True},
        {"use_dora": True},
        {"use_rslora": True},
        {},
        {"use_dora": True, "rank_pattern": {"q_proj": 8}, "alpha_pattern": {"layers.1.mlp.down_proj": 32}},
        {"use_dora": True, "use_rslora": True, "trainable_token_indices": [3, 40]},
    ],
    ids=["DoRA and rsLoRA", "DoRA", "rsLoRA", "LoRA", "patterns", "trained tokens"],
)
def test_the_merge_equals_peft(base: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    adapter = trained(base, tmp_path / "adapter", **options)
    before = digest(base)
    report = merge(base, adapter, tmp_path / "merged")
    assert digest(base) == before

    stored = next(iter(load_file(sorted(base.glob("*.safetensors"))[0]).values())).dtype
    reference = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base, dtype=torch.float32), adapter)
    expected = reference.merge_and_unload().eval()
    merged = LlamaForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32).eval()
    for name, weight in merged.state_dict().items():
        assert torch.allclose(weight, expected.state_dict()[name].to(stored).float(), atol=1e-5, rtol=1e-2), name
    if stored == torch.float32:
        with torch.no_grad():
            assert torch.allclose(merged(PROMPTS).logits, expected(PROMPTS).logits, atol=1e-4)
    assert report.merged_modules >= 14
    assert report.largest_change > 0.1
    assert report.relative_change > 0


def test_names_types_and_shards_are_those_of_the_base(base: Path, tmp_path: Path) -> None:
    merge(base, trained(base, tmp_path / "adapter", use_dora=True), tmp_path / "merged")
    for shard in base.glob("*.safetensors"):
        old, new = load_file(shard), load_file(tmp_path / "merged" / shard.name)
        assert {name: (t.shape, t.dtype) for name, t in old.items()} == {n: (t.shape, t.dtype) for n, t in new.items()}
    names = {path.name for path in (tmp_path / "merged").iterdir()}
    assert {"config.json", "generation_config.json", "tokenizer_config.json"} <= names
    assert not names & {"gazal.json", "README.md", "adapter_config.json"}


@pytest.mark.parametrize("base", ["one file"], indirect=True)
class TestRefusals:
    """What cannot be merged rightly is refused by name, and nothing half-made is left."""

    @pytest.fixture
    def adapter(self, base: Path, tmp_path: Path) -> Path:
        return trained(base, tmp_path / "adapter", use_dora=True, use_rslora=True)

    def refused(self, base: Path, adapter: Path, tmp_path: Path, message: str) -> None:
        target = tmp_path / "out" / "merged"
        with pytest.raises(MergeError) as caught:
            merge(base, adapter, target)
        assert message in str(caught.value)
        assert list((tmp_path / "out").iterdir() if (tmp_path / "out").exists() else []) == []

    def changed(self, adapter: Path, change: Any) -> None:
        tensors = load_file(adapter / "adapter_model.safetensors")
        change(tensors)
        save_file(tensors, adapter / "adapter_model.safetensors")

    def test_a_run_that_diverged(self, base: Path, adapter: Path, tmp_path: Path) -> None:
        self.changed(adapter, lambda tensors: next(iter(tensors.values())).fill_(float("nan")))
        self.refused(base, adapter, tmp_path, "is not finite; the run diverged")

    def test_an_adapter_of_another_model(self, base: Path, adapter: Path, tmp_path: Path) -> None:
        prefix = "base_model.model.model.layers.7.mlp.up_proj"
        self.changed(
            adapter,
            lambda t: t.update(
                {
                    f"{prefix}.lora_A.weight": torch.ones(4, 32),
                    f"{prefix}.lora_B.weight": torch.ones(48, 4),
                    f"{prefix}.lora_magnitude_vector": torch.ones(48),
                }
            ),
        )
        self.refused(base, adapter, tmp_path, "no module 'model.layers.7.mlp.up_proj'")

    def test_a_base_of_another_shape(self, base: Path, adapter: Path, tmp_path: Path) -> None:
        self.changed(
            adapter,
            lambda t: t.update({key: torch.ones(4, 33) for key in t if key.endswith("up_proj.lora_A.weight")}),
        )
        self.refused(base, adapter, tmp_path, "shapes of base and adapter do not fit")

    def test_a_missing_half(self, base: Path, adapter: Path, tmp_path: Path) -> None:
        self.changed(adapter, lambda tensors: tensors.pop(next(key for key in tensors if "lora_B" in key)))
        self.refused(base, adapter, tmp_path, "is incomplete; its file is damaged")

    def test_a_missing_magnitude(self, base: Path, adapter: Path, tmp_path: Path) -> None:
        self.changed(adapter, lambda tensors: tensors.pop(next(key for key in tensors if "magnitude" in key)))
        self.refused(base, adapter, tmp_path, "has no DoRA magnitude")

    def test_a_tensor_it_does_not_know(self, base: Path, adapter: Path, tmp_path: Path) -> None:
        self.changed(adapter, lambda tensors: tensors.update({"base_model.model.surprise": torch.ones(1)}))
        self.refused(base, adapter, tmp_path, "'base_model.model.surprise', which this merge does not know")

    @pytest.mark.parametrize(("setting", "value"), [("fan_in_fan_out", True), ("modules_to_save", ["lm_head"])])
    def test_a_setting_it_does_not_know(
        self, base: Path, adapter: Path, tmp_path: Path, setting: str, value: Any
    ) -> None:
        path = adapter / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {setting: value}))
        self.refused(base, adapter, tmp_path, f"uses {setting}")

    def test_a_directory_that_is_no_adapter(self, base: Path, tmp_path: Path) -> None:
        self.refused(base, base, tmp_path, "adapter_config.json is missing")

    def test_a_target_that_exists(self, base: Path, adapter: Path, tmp_path: Path) -> None:
        (tmp_path / "taken").mkdir()
        with pytest.raises(MergeError, match="a merge never overwrites"):
            merge(base, adapter, tmp_path / "taken")
