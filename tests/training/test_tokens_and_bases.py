"""Tokens: the loss falls on the answer alone, and the reasoning tokens are ordinary tokens of their own."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from gazal.prompting import render
from gazal.reasoning_tokens import CHATML, add_reasoning_tokens
from training.clinic import knowledge
from training.clinic.studies import study
from training.recipe import Pretraining
from training.tiny import _windows, plain_document, reading_matter, train_tokenizer
from training.tokens import completion_text, encode, encode_prompt, opens_reasoning

if TYPE_CHECKING:
    from pathlib import Path

COMPLETION = "<think>\nStep 1: Look.\n</think>\n\n## A\n**B**: c\n\nFinal answer: \\boxed{A}"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    trained = train_tokenizer(["A 44-year-old man has chest pain. Step 1: Final answer: \\boxed{A}"] * 3, 300)
    trained.chat_template = CHATML
    return trained


@pytest.fixture(scope="module")
def prepared(
    tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, list[int]]:
    """A base without reasoning tokens, the one made from it, and the indices added."""
    directory = tmp_path_factory.mktemp("bases")
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        tie_word_embeddings=True,
    )
    Qwen3ForCausalLM(config).save_pretrained(directory / "plain")
    tokenizer.save_pretrained(directory / "plain")
    return directory / "plain", directory / "base", add_reasoning_tokens(directory / "plain", directory / "base")


def test_prompt_and_completion_are_joined_and_masked(tokenizer: Any) -> None:
    encoded = encode(tokenizer, "Question?", COMPLETION)
    row = encoded.to_row()
    assert tokenizer.decode(row["input_ids"]) == (
        f"<|im_start|>user\nQuestion?<|im_end|>\n<|im_start|>assistant\n{COMPLETION}<|im_end|>"
    )
    learned = [token for token, kept in zip(row["input_ids"], row["completion_mask"], strict=True) if kept]
    assert tokenizer.decode(learned) == f"{COMPLETION}<|im_end|>"
    assert encoded.prompt_ids == encode_prompt(tokenizer, "Question?")


def test_a_template_that_opens_the_reasoning_takes_the_tag_from_the_completion(tokenizer: Any) -> None:
    import copy

    opening = copy.deepcopy(tokenizer)
    opening.chat_template = CHATML.replace("<|im_start|>assistant\n", "<|im_start|>assistant\n<think>\n")
    assert opens_reasoning(opening)
    assert not opens_reasoning(tokenizer)
    encoded = encode(opening, "Question?", COMPLETION)
    text = opening.decode(encoded.prompt_ids + encoded.completion_ids)
    assert text.count("<think>") == 1
    assert text.endswith(f"assistant\n{COMPLETION}<|im_end|>")


def test_added_tokens_are_one_token_each_and_stay_in_the_text(prepared: tuple[Path, Path, list[int]]) -> None:
    _, base, added = prepared
    tokenizer = AutoTokenizer.from_pretrained(base)
    ids = tokenizer("<think></think>", add_special_tokens=False)["input_ids"]
    assert ids == added
    assert completion_text(tokenizer, [*ids, tokenizer.eos_token_id]) == "<think></think>"


def test_their_embeddings_begin_as_the_mean_of_their_pieces(prepared: tuple[Path, Path, list[int]]) -> None:
    plain, base, added = prepared
    pieces = AutoTokenizer.from_pretrained(plain)("</think>", add_special_tokens=False)["input_ids"]
    before = load_file(plain / "model.safetensors")["model.embed_tokens.weight"]
    after = load_file(base / "model.safetensors")["model.embed_tokens.weight"]
    torch.testing.assert_close(after[added[1]], before[pieces].mean(dim=0))
    torch.testing.assert_close(after[: len(before)], before)
    assert AutoModelForCausalLM.from_pretrained(base).config.vocab_size == len(before) + 2


def test_what_the_tiny_base_reads_has_no_grammar() -> None:
    text = plain_document("A prompt.", COMPLETION.replace("Look.", "The key findings are pain."))
    assert text == (
        "<|im_start|>user\nA prompt.<|im_end|>\n"
        '<|im_start|>assistant\n The key findings are pain. B: c The answer is "A".<|im_end|>\n'
    )


@pytest.mark.parametrize("mode", ["mcq", "research"])
def test_most_documents_of_the_tiny_base_leave_the_instructions_out(mode: Any) -> None:
    options = {"A": "one", "B": "two"} if mode == "mcq" else None
    prompt = render(mode, "A case.", question="What is it?", options=options).text
    assert "Think first" in plain_document(prompt, COMPLETION, instructed=True)
    without = plain_document(prompt, COMPLETION)
    assert "Think first" not in without
    assert "A case." in without
    assert ("B. two" if mode == "mcq" else "What is it?") + "<|im_end|>" in without


def test_the_tiny_base_reads_of_intervals_before_it_reads_of_trials() -> None:
    rng = random.Random(1)
    condition = next(iter(knowledge.load().conditions.values()))
    trials = [study(condition, rng, brief=True) for _ in range(2)]
    prompts = [render("research", each.abstract, question=each.question).text for each in trials]
    documents = reading_matter(list(zip(prompts, (each.completion for each in trials), strict=True)))
    assert len(documents) == 4
    for trial, (given, learned) in zip(trials, documents, strict=False):
        interval = re.search(r"95% CI [\d.]+ to [\d.]+", trial.abstract)
        assert interval
        assert given == f"<|im_start|>user\n{interval.group()}<|im_end|>\n<|im_start|>assistant\n"
        assert re.fullmatch(r" Two groups [^.]*\. The interval [^.]* (wide|narrow)\.<\|im_end\|>\n", learned)
    assert [bool(given) for given, _ in documents[2:]] == [False, True]
    assert all(trial.question in given + learned for trial, (given, learned) in zip(trials, documents[2:], strict=True))


def test_the_tiny_base_reads_whole_documents(tokenizer: Any) -> None:
    settings = Pretraining(documents=3, steps=2, batch=2, window_tokens=40, learning_rate=0.001, seed=1)
    documents = [("", "A 44-year-old man.<|im_end|>"), ("has chest ", "pain<|im_end|>"), ("Step ", "1: A<|im_end|>")]
    windows = _windows(tokenizer, documents, settings)
    assert windows.shape == (2, 2, 40, 2)
    ids, labels = windows.flatten(0, 1).unbind(-1)
    read = [tokenizer.decode([token for token in row if token != tokenizer.pad_token_id]) for row in ids]
    assert all(text.endswith("<|im_end|>") for text in read)
    assert "".join(read).startswith("".join(given + learned for given, learned in documents))
    learned = "".join(tokenizer.decode([token for token in row if token >= 0]) for row in labels)
    assert learned.startswith("".join(text for _, text in documents))
