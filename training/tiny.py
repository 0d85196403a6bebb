"""The tiny base: a Qwen3 of a million parameters, pre-trained from scratch on the clinic's language in two minutes.

It exists so that the whole recipe runs on any laptop and in CI, with the architecture and special tokens of Qwen3. It
reads questions with plain explanations, and never an answer in the grammar of a reasoned answer: no tags, no numbered
steps, no boxed label. So what stage 1 teaches is visible.

    make(Path("base"), examples, recipe.base.shape, recipe.base.pretraining)
"""

from __future__ import annotations

import math
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gazal.prompting import template

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

    from training.clinic.generate import Example
    from training.recipe import Pretraining, Shape

_MARKS = re.compile(r"</?think>|^Step \d+: |^## .*$|\*\*|^That is option .*$", re.MULTILINE)
_ANSWER = re.compile(r"^Final answer: \\boxed\{(.*)\}$", re.MULTILINE)
_INTERVAL = re.compile(r"95% CI [\d.]+ to [\d.]+")
_ABOUT_INTERVAL = re.compile(r"[^.]*\.[^.]* interval [^.]*\.")
_SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_ASSISTANT = "<|im_start|>assistant\n"
_MAX_POSITIONS = 2048
_IGNORED = -100
_WARMUP_SHARE = 0.05


def make(
    target: Path,
    examples: list[Example],
    shape: Shape,
    settings: Pretraining,
    progress: Callable[[int, int, float], None] | None = None,
) -> None:
    """Train tokenizer and model on the language of `examples` and write them to `target`, whole or not at all.

    `progress(step, steps, loss)` is called after each step.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        tokenizer = train_tokenizer([f"{each.prompt}\n{each.completion}" for each in examples], shape.vocabulary)
        documents = reading_matter([(each.prompt, each.completion) for each in examples])
        model = pretrain(tokenizer, documents, shape, settings, progress)
        partial = Path(scratch) / "base"
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.rename(target)


def reading_matter(answered: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What the base reads for each prompt and completion: a text that is given, and the one that is learned after it.

    First the intervals of all trials, each with the sentence about it and nothing else. They are short, so the base
    finds out soon what decides; from whole trials alone it had not after 700 steps, because most tokens of a trial,
    names and counts, nobody could predict. Then whole questions with their explanations, every other one with the
    instructions and learned from its first word: there the base meets the words and signs of a reasoned answer.
    """
    short, whole = [], []
    for index, (prompt, completion) in enumerate(answered):
        if interval := _INTERVAL.search(prompt):
            question, turn, answer = plain_document(interval.group(), completion).partition(_ASSISTANT)
            sentences = _ABOUT_INTERVAL.match(answer)
            short.append((question + turn, f"{sentences.group()}<|im_end|>\n" if sentences else answer))
        if index % 2 == 0:
            whole.append(("", plain_document(prompt, completion, instructed=True)))
        else:
            question, turn, answer = plain_document(prompt, completion).partition(_ASSISTANT)
            whole.append((question + turn, answer))
    return short + whole


def plain_document(prompt: str, completion: str, *, instructed: bool = False) -> str:
    """A turn of question and explanation in running prose: the words of an answer, without its grammar.

    The prompt's instructions are left out unless `instructed`: most documents are worth more without them. A space and
    quotation marks make the first word and the answer the tokens that they are in a reasoned answer: of a token that
    the base never read, an adapter cannot teach more than that it is one of those.
    """
    words = _ANSWER.sub(r'The answer is "\1".', _MARKS.sub("", completion))
    asked = prompt if instructed else _without_instructions(prompt)
    answered = " ".join(words.split())
    return f"<|im_start|>user\n{asked}<|im_end|>\n{_ASSISTANT} {answered}<|im_end|>\n"


def _without_instructions(prompt: str) -> str:
    """The prompt without what its template says after options or question."""
    for instructions in (
        template("mcq").text.partition("$options\n")[2],
        template("research").text.partition("$question\n")[2],
    ):
        prompt = prompt.removesuffix(instructions.strip())
    return prompt.strip()


def train_tokenizer(documents: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE with the special tokens of ChatML; the reasoning tokens come with `training.bases`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(_SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=_SPECIAL_TOKENS[2],
        pad_token=_SPECIAL_TOKENS[0],
        model_max_length=_MAX_POSITIONS,
    )


def pretrain(
    tokenizer: PreTrainedTokenizerFast,
    documents: list[tuple[str, str]],
    shape: Shape,
    settings: Pretraining,
    progress: Callable[[int, int, float], None] | None = None,
) -> Qwen3ForCausalLM:
    """Next-token training on what is learned of each document, in windows of whole documents."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(settings.seed)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.intermediate,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            head_dim=shape.head_dim,
            max_position_embeddings=_MAX_POSITIONS,
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
        )
    )
    model.generation_config.do_sample = True
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.95), weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings.steps))
    windows = _windows(tokenizer, documents, settings)
    model.train()
    for step in range(settings.steps):
        ids, labels = windows[step].unbind(-1)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if progress:
            progress(step + 1, settings.steps, loss.item())
    return model.eval()


def _rate(step: int, steps: int) -> float:
    warmup = max(1, round(_WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _windows(
    tokenizer: PreTrainedTokenizerFast, documents: list[tuple[str, str]], settings: Pretraining
) -> torch.Tensor:
    """Tokens and labels, of shape (steps, batch, length, 2), in windows of whole documents in their order, padded.

    The documents repeat when they are too few. One that is longer than a window loses its end.
    """
    import torch

    windows: list[list[tuple[int, int]]] = [[]]
    for document in documents:
        given, learned = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in document)
        pairs = [(token, _IGNORED) for token in given] + [(token, token) for token in learned]
        if windows[-1] and len(windows[-1]) + len(pairs) > settings.window_tokens:
            windows.append([])
        windows[-1] = (windows[-1] + pairs)[: settings.window_tokens]
    wanted = settings.steps * settings.batch
    chosen = (windows * math.ceil(wanted / len(windows)))[:wanted]
    padding = (tokenizer.pad_token_id, _IGNORED)
    padded = [window + [padding] * (settings.window_tokens - len(window)) for window in chosen]
    return torch.tensor(padded).reshape(settings.steps, settings.batch, settings.window_tokens, 2)
