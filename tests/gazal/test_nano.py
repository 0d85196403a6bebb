"""The shipped adapters become the weights that were measured, bit for bit, or the model is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from gazal import models, nano
from gazal.artifact import ArtifactError, Base, Manifest, digest_of, hash_files, load_manifest
from gazal.models import resolve
from gazal.nano import merge_stages
from gazal.reasoning_tokens import add_reasoning_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow


def tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<|endoftext|>": 0, **{symbol: number for number, symbol in enumerate("<>/think", 1)}}
    made = Tokenizer(models.WordLevel(words, unk_token="<|endoftext|>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|endoftext|>")


def adapter_on(base: Path, target: Path, seed: int, tokens: list[int] | None) -> None:
    """A DoRA adapter that moves every weight."""
    torch.manual_seed(seed)
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype="auto"),
        LoraConfig(
            r=4, lora_alpha=4, use_dora=True, use_rslora=True, target_modules=["q_proj", "down_proj"],
            trainable_token_indices=tokens,
        ),
    )  # fmt: skip
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter) * (1 if "magnitude" not in name else 0.1)
    adapted.save_pretrained(target)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=9, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path / "base")
    tokenizer().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture(scope="module")
def made(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the repository would ship: both adapters, tokenizer and configuration, manifest and card."""
    tmp_path = tmp_path_factory.mktemp("made")
    directory = tmp_path / "shipped"
    tokens = add_reasoning_tokens(base, tmp_path / "with-tokens")
    adapter_on(tmp_path / "with-tokens", directory / "stage-1", 1, tokens)
    merge_stages(base, directory, tmp_path / "after-stage-1")
    adapter_on(tmp_path / "after-stage-1", directory / "stage-2", 2, None)
    merge_stages(base, directory, tmp_path / "trained")
    for path in (tmp_path / "trained").iterdir():
        if path.suffix != ".safetensors":
            shutil.copy2(path, directory)
    files = hash_files(tmp_path / "trained")
    Manifest(
        name="gazal-r1-nano", base=Base(reference="small"), licence="MIT", files=files, digest=digest_of(files)
    ).save(directory)
    (directory / "MODEL_CARD.md").write_text("a card")
    (directory / "training-report.html").write_text("a report")
    (directory / "training-recipe.json").write_text("a recipe")
    return directory


@pytest.fixture
def shipped(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(made, tmp_path / "shipped")


@pytest.fixture
def home(base: Path, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GAZAL_HOME whose base is the small one. Merges run in this process, which has torch loaded already."""

    def run(command: list[str], **_: object) -> SimpleNamespace:
        try:
            merge_stages(*map(Path, command[3:]))
        except Exception as error:
            return SimpleNamespace(returncode=1, stderr=f"Traceback\n{error}")
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(nano, "subprocess", SimpleNamespace(run=run, DEVNULL=None))
    monkeypatch.setattr(nano, "SHIPPED", shipped)
    monkeypatch.setattr(models, "NANO_DISK_BYTES", 0)
    monkeypatch.setattr(models, "_nano_base", lambda *_: models.Model(base, load_manifest(shipped)))
    return tmp_path / "home"


def test_both_stages_are_merged_into_the_base(
    base: Path, shipped: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nano, "subprocess", subprocess)
    resolved = resolve("nano", home=home)
    assert resolved.manifest == load_manifest(shipped) == load_manifest(resolved.path)
    assert not (resolved.path / "MODEL_CARD.md").exists()
    after, before = (AutoModelForCausalLM.from_pretrained(path, dtype="auto") for path in (resolved.path, base))
    assert after.config.vocab_size == before.config.vocab_size + 2
    new, old = (dict(model.named_parameters()) for model in (after, before))
    assert not torch.equal(new["model.layers.0.self_attn.q_proj.weight"], old["model.layers.0.self_attn.q_proj.weight"])
    assert torch.equal(new["model.layers.0.self_attn.k_proj.weight"], old["model.layers.0.self_attn.k_proj.weight"])


def test_a_second_call_finds_what_the_first_one_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = resolve("nano", home=home)
    monkeypatch.setattr(nano, "build", lambda *_: pytest.fail("built again"))
    assert resolve("nano", home=home).path == first.path


def test_a_damaged_cache_is_built_again(home: Path) -> None:
    path = resolve("nano", home=home).path
    (path / "model.safetensors").write_bytes(b"damaged")
    assert resolve("nano", home=home).path == path
    assert hash_files(path) == load_manifest(path).files


def spoil_weights(shipped: Path) -> None:
    manifest = json.loads((shipped / "gazal.json").read_text())
    manifest["files"]["model.safetensors"] = "0" * 64
    (shipped / "gazal.json").write_text(json.dumps(manifest))


def spoil_tokenizer(shipped: Path) -> None:
    (shipped / "tokenizer_config.json").write_text("{}")


def drop_stage(shipped: Path) -> None:
    shutil.rmtree(shipped / "stage-2")


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (spoil_weights, "model.safetensors"),
        (spoil_tokenizer, "tokenizer_config.json"),
        (drop_stage, "model.safetensors"),
    ],
)
def test_anything_but_the_measured_weights_is_refused_by_file(
    home: Path, shipped: Path, spoil: Callable[[Path], None], named: str
) -> None:
    spoil(shipped)
    with pytest.raises(ArtifactError, match=rf"{named} of the merged gazal-r1-nano is not what .*gazal.json lists"):
        resolve("nano", home=home)
    assert not list((home / "models").glob("gazal-r1-nano*"))


def test_a_damaged_adapter_is_refused_with_the_reason(home: Path, shipped: Path) -> None:
    (shipped / "stage-1" / "adapter_model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ArtifactError, match="could not merge the adapters of gazal-r1-nano"):
        resolve("nano", home=home)


def test_without_shipped_adapters_nano_is_its_base(
    base: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve("nano-base", home=home).path == base
    monkeypatch.setattr(nano, "SHIPPED", tmp_path / "nothing")
    assert resolve("nano", home=home).path == base
