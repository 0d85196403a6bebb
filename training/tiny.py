"""The tiny base: a Qwen3 of a million parameters, pre-trained from scratch on the clinic's language in two minutes.

It exists so that the whole recipe runs on any laptop and in CI, with the architecture and special tokens of Qwen3. It
reads questions with plain explanations, and never an answer in the grammar of a reasoned answer: no tags, no numbered
steps, no boxed label. So what stage 1 teaches is visible.

    make(Path("base"), examples, recipe.base.shape, recipe.base.pretraining)
"""

from __future__ import annotations

import itertools
import math
import random
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gazal.prompting import template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

    from training.clinic.generate import Example
    from training.recipe import Pretraining, Shape

Document = tuple[str, str]
"""A text that is given, and the one that is learned after it."""

_MARKS = re.compile(r"</?think>|^Step \d+: |^## .*$|\*\*|^That is option .*$", re.MULTILINE)
_ANSWER = re.compile(r"^Final answer: \\boxed\{(.*)\}$", re.MULTILINE)
_WORD = re.compile(r"\S+\s*")
_INTERVAL = re.compile(r"95% CI [\d.]+ to [\d.]+")
_ABOUT_INTERVAL = re.compile(r"[^.]*\.[^.]* interval [^.]*\.")
_SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_USER = "<|im_start|>user\n"
_ASSISTANT = "<|im_start|>assistant\n"
_END = "<|im_end|>\n"
_ALONE_UNTIL = 0.2
_GROWN_AT = 0.55
"""Shares of all steps: until the first, intervals stand alone; from the second, whole trials may stand around them."""

_WHOLE_EVERY = 3
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
        answered = [(each.prompt, each.completion) for each in examples]
        model = pretrain(tokenizer, answered, shape, settings, progress)
        partial = Path(scratch) / "base"
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.rename(target)


def curriculum(answered: list[tuple[str, str]], settings: Pretraining) -> Iterator[Iterator[Document]]:
    """What the base reads in each step, as documents without end, from prompts and completions.

    The answers hang on the trials' intervals. From whole trials a base had not found them after 700 steps, because most
    tokens of a trial, names and counts, nobody could predict. So it reads an interval alone first, each with the
    sentence about it, and then with more and more of the trial around it. Every third step is of whole questions with
    their explanations, half of them with the instructions and learned from their first word: there the base meets the
    words and signs of a reasoned answer.
    """
    rng = random.Random(settings.seed)  # noqa: S311
    with_interval = [(index, pair) for index, pair in enumerate(answered) if _INTERVAL.search(pair[0])]
    trials, whole = itertools.cycle(with_interval), itertools.cycle(enumerate(answered))
    for step in range(settings.steps):
        read = step / settings.steps
        if with_interval and (read < _ALONE_UNTIL or step % _WHOLE_EVERY):
            most = min(1.0, max(0.0, (read - _ALONE_UNTIL) / (_GROWN_AT - _ALONE_UNTIL)))
            yield (excerpt(*pair, most * rng.random() ** 2, instructed=index % 2 == 0) for index, pair in trials)
        else:
            yield (whole_document(*pair, instructed=index % 2 == 0) for index, pair in whole)


def excerpt(prompt: str, completion: str, share: float, *, instructed: bool) -> Document:
    """A trial's interval with this share of the words before and after it, and what the explanation says about it."""
    question, turn, answer = plain_document(prompt, completion, instructed=instructed).partition(_ASSISTANT)
    interval, about = _INTERVAL.search(question), _ABOUT_INTERVAL.match(answer)
    if not interval or not about:
        raise ValueError("this prompt has no interval, or its explanation says nothing about it")
    before = _WORD.findall(question[: interval.start()].removeprefix(_USER))
    after = _WORD.findall(question[interval.end() :].removesuffix(_END))
    first, last = len(before) - round(share * len(before)), round(share * len(after))
    kept = "".join((*before[first:], interval.group(), *after[:last])).strip()
    return f"{_USER}{kept}{_END}{turn}", f"{about.group()}{_END}"


def whole_document(prompt: str, completion: str, *, instructed: bool) -> Document:
    """A whole question and its explanation; with the instructions, all of it is learned."""
    text = plain_document(prompt, completion, instructed=instructed)
    question, turn, answer = text.partition(_ASSISTANT)
    return ("", text) if instructed else (question + turn, answer)


def plain_document(prompt: str, completion: str, *, instructed: bool = False) -> str:
    """A turn of question and explanation in running prose: the words of an answer, without its grammar.

    The prompt's instructions are left out unless `instructed`: most documents are worth more without them. A space and
    quotation marks make the first word and the answer the tokens that they are in a reasoned answer: of a token that
    the base never read, an adapter cannot teach more than that it is one of those.
    """
    words = _ANSWER.sub(r'The answer is "\1".', _MARKS.sub("", completion))
    asked = prompt if instructed else _without_instructions(prompt)
    answered = " ".join(words.split())
    return f"{_USER}{asked}{_END}{_ASSISTANT} {answered}{_END}"


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
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
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
    answered: list[tuple[str, str]],
    shape: Shape,
    settings: Pretraining,
    progress: Callable[[int, int, float], None] | None = None,
) -> Qwen3ForCausalLM:
    """Next-token training on what is learned of each document of the curriculum."""
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
    model.train()
    for step, documents in enumerate(curriculum(answered, settings), 1):
        ids, labels = batch(tokenizer, documents, settings.tokens_per_step)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if progress:
            progress(step, settings.steps, loss.item())
    return model.eval()


def _rate(step: int, steps: int) -> float:
    warmup = max(1, round(_WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def batch(
    tokenizer: PreTrainedTokenizerFast, documents: Iterator[Document], tokens: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels, each of shape (rows, length), of as many documents as fit into `tokens` with their padding.

    A document has a row of its own: a base that reads others before it learns much later what matters in its own. At
    least one is taken, and the one that does not fit is left out.
    """
    import torch

    rows: list[list[tuple[int, int]]] = []
    for document in documents:
        given, learned = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in document)
        row = [(token, _IGNORED) for token in given] + [(token, token) for token in learned]
        if rows and max(len(row), *map(len, rows)) * (len(rows) + 1) > tokens:
            break
        rows.append(row)
    length = max(len(row) for row in rows)
    padding = (tokenizer.pad_token_id, _IGNORED)
    ids, labels = torch.tensor([row + [padding] * (length - len(row)) for row in rows]).unbind(-1)
    return ids, labels
