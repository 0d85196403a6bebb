"""Tokens: the loss falls on the answer alone, and the reasoning tokens are ordinary tokens of their own."""

from __future__ import annotations

import random
import re
from itertools import islice
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
from training.tiny import batch, curriculum, excerpt, plain_document, train_tokenizer
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


@pytest.fixture(scope="module")
def trials() -> list[tuple[str, str]]:
    """Prompts and completions of brief trials."""
    rng = random.Random(1)
    condition = next(iter(knowledge.load().conditions.values()))
    made = [study(condition, rng, brief=True) for _ in range(40)]
    return [(render("research", each.abstract, question=each.question).text, each.completion) for each in made]


def test_an_excerpt_is_the_interval_with_a_share_of_what_stands_around_it(trials: list[tuple[str, str]]) -> None:
    prompt, completion = trials[0]
    found = re.search(r"95% CI [\d.]+ to [\d.]+", prompt)
    assert found
    about = r" Two groups [^.]*\. The interval [^.]*\.<\|im_end\|>\n"
    given, learned = excerpt(prompt, completion, 0, instructed=False)
    assert given == f"<|im_start|>user\n{found.group()}<|im_end|>\n<|im_start|>assistant\n"
    assert re.fullmatch(about, learned)
    given, learned = excerpt(prompt, completion, 1, instructed=True)
    assert given == f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
    assert re.fullmatch(about, learned)
    half, _ = excerpt(prompt, completion, 0.5, instructed=True)
    assert len(half.split()) == pytest.approx(len(given.split()) / 2, abs=4)
    assert found.group() in half


def test_the_tiny_base_reads_intervals_alone_then_with_more_around_them_and_whole_trials_between(
    trials: list[tuple[str, str]],
) -> None:
    settings = Pretraining(documents=40, steps=60, tokens_per_step=1000, learning_rate=0.001, seed=1)
    steps = [list(islice(documents, 8)) for documents in curriculum(trials, settings)]
    assert len(steps) == 60
    words = [max(len(given.split()) for given, _ in documents) for documents in steps]
    assert set(words[:12]) == {7}
    excerpts = [step for step in range(60) if step % 3]
    assert max(words[step] for step in excerpts if 12 <= step < 18) < 100
    assert max(words[step] for step in excerpts if step > 33) > 150
    for step, documents in enumerate(steps):
        whole = step >= 12 and step % 3 == 0
        assert ["The answer is" in learned for _, learned in documents] == [whole] * 8
        assert not whole or sorted(bool(given) for given, _ in documents) == [False] * 4 + [True] * 4


def test_a_clinic_without_trials_is_read_as_whole_questions() -> None:
    settings = Pretraining(documents=1, steps=3, tokens_per_step=1000, learning_rate=0.001, seed=1)
    steps = [next(documents) for documents in curriculum([("A prompt.", COMPLETION)], settings)]
    assert all("A prompt." in given + learned for given, learned in steps)


def test_the_tiny_base_reads_each_document_in_a_row_of_its_own(tokenizer: Any) -> None:
    documents = [("", "A 44-year-old man.<|im_end|>"), ("has chest ", "pain<|im_end|>"), ("Step ", "1: A<|im_end|>")]
    lengths = [len(tokenizer(given + learned)["input_ids"]) for given, learned in documents]
    ids, labels = batch(tokenizer, iter(documents), 2 * max(lengths))
    assert ids.shape == labels.shape == (2, max(lengths[:2]))
    for (given, learned), row, answers in zip(documents, ids, labels, strict=False):
        assert tokenizer.decode([token for token in row if token != tokenizer.pad_token_id]) == given + learned
        assert tokenizer.decode([token for token in answers if token >= 0]) == learned


def test_a_document_longer_than_a_batch_is_one_by_itself(tokenizer: Any) -> None:
    ids, _ = batch(tokenizer, iter([("", "A 44-year-old man.")] * 2), 3)
    assert ids.shape[0] == 1


def test_the_tiny_tokenizer_splits_numbers_into_digits_as_qwen3_does() -> None:
    trained = train_tokenizer(["a risk ratio of 0.92, 95% CI 0.92 to 0.92"] * 50, 400)
    assert [token for token in trained.tokenize("0.92") if token.isdigit()] == ["0", "9", "2"]
