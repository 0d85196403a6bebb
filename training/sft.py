"""Stage 1: supervised fine-tuning on reasoned answers, with TRL's SFTTrainer.

What is ours about it: examples are tokenised by `training.tokens` and reach the trainer as ids with a mask, so the loss
falls on completions alone and nothing re-templates them; an example that does not fit is refused instead of cut, so
packing never loses a final answer; DoRA's norm is kept between steps; and a killed run goes on from its last
checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from trl import SFTConfig, SFTTrainer

from training.adapter import adapt, begin_from, check_start, record_start, store
from training.attention import implementation
from training.average import blend
from training.checkpoints import CheckpointRecorder, newest
from training.compiled import compile_layers
from training.distribution import on_main, prepare_sharding, save_adapter
from training.dora import NormCallback
from training.int8 import quicken
from training.optimisation import optimizer_class_and_arguments, schedule_arguments
from training.order import OrderedTrainer
from training.runs import RunError, write_json
from training.token_rows import spare_vocabulary
from training.tokens import encode
from training.watch import Watch, read_metrics, trained_s

if TYPE_CHECKING:
    from peft import PeftModel
    from rich.progress import Progress
    from transformers import PreTrainedTokenizerBase

    from training.bases import PreparedBase
    from training.data.rows import Row
    from training.dora import NormClock
    from training.recipe import Optimisation, Recipe
    from training.runs import StageDirectory


IGNORED = -100
"""The label of a token that is not learned, as in PyTorch's cross entropy."""


class PlainHeadTrainer(OrderedTrainer):
    """For a base whose reasoning tokens are trained: the loss goes through the adapted head.

    TRL's loss reads `lm_head.weight` itself, and so would not see the trained rows that tied embeddings share with the
    head. Logits are made for the positions of completions alone: a small model with a large vocabulary would spend a
    third of its time on those of prompts.
    """

    def compute_loss(
        self,
        model: Any,  # noqa: ANN401
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """The model's own loss on the completions."""
        targets = inputs["labels"][:, 1:]
        answered = targets.ne(IGNORED).any(dim=0).nonzero().flatten()
        narrowed = {"logits_to_keep": answered, "shift_labels": targets[:, answered].contiguous(), "use_cache": False}
        return super(SFTTrainer, self).compute_loss(
            model, inputs | narrowed, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch
        )


def train(
    recipe: Recipe,
    base: PreparedBase,
    rows: list[Row],
    development: list[Row],
    stage: StageDirectory,
    *,
    progress: Progress | None = None,
    track: str = "none",
) -> None:
    """Train the stage-1 adapter on `base` and leave it in `stage.adapter`; a finished stage is not trained again.

    `development` rows give a loss at every checkpoint. `track` is where metrics also go: none, tensorboard, trackio.
    Raises RunError; checkpoints are kept.
    """
    if on_main(stage.adapter.is_dir):
        return
    if base.added_tokens and recipe.distribution == "fsdp2":
        raise RunError(
            "FSDP2 cannot shard embedding rows that are trained and tied to the head (accelerate 1.15 would shard them "
            "twice), and this base lacks <think>; take a base that has it, such as any Qwen3, or set distribution: ddp"
        )
    stage.checkpoints.mkdir(parents=True, exist_ok=True)
    settings = recipe.sft.optimisation
    tokenizer = AutoTokenizer.from_pretrained(base.path)
    torch.manual_seed(settings.seed)
    examples = tokenised(tokenizer, rows, recipe)
    adapted, clock = _adapted(recipe, base, torch.tensor([examples[0]["input_ids"]]))
    arguments = SFTConfig(
        **common_arguments(recipe, settings, stage.checkpoints, track) | {"bf16": _precision(recipe) == "bfloat16"},
        completion_only_loss=True,
        max_length=recipe.sft.pack_to_tokens,
        packing=recipe.sft.pack_to_tokens is not None,
        packing_strategy="bfd",
        eval_packing=False,
        eval_strategy="steps" if development else "no",
        eval_steps=settings.checkpoint_every,
        per_device_eval_batch_size=settings.micro_batch,
        train_sampling_strategy="group_by_length" if recipe.sft.pack_to_tokens is None else "random",
    )
    prepare_sharding(arguments)
    trainer = (PlainHeadTrainer if base.added_tokens else OrderedTrainer)(
        model=adapted,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=examples,
        eval_dataset=tokenised(tokenizer, development, recipe) if development else None,
        optimizer_cls_and_kwargs=optimizer_class_and_arguments(settings),
        callbacks=[NormCallback(clock), Watch(stage.metrics, progress, "sft"), CheckpointRecorder()],
    )
    trainer.remove_callback(PrinterCallback)
    start = recipe.sft.start_from
    if start is not None and on_main(lambda: newest(stage.checkpoints)) is None:
        on_main(lambda: record_start(Path(start), stage.started_from))
    trainer.train(resume_from_checkpoint=_text(on_main(lambda: newest(stage.checkpoints))))
    earlier = (Path(start), recipe.sft.start_share) if start is not None and recipe.sft.start_share else None
    if earlier:
        on_main(lambda: check_start(earlier[0], stage.started_from))
    finish(trainer, recipe, stage, earlier)


def _adapted(recipe: Recipe, base: PreparedBase, tokens: torch.Tensor) -> tuple[PeftModel, NormClock]:
    """The base with a fresh adapter, in the numbers that the recipe computes in; `tokens` are of any example."""
    integers, compiled = recipe.sft.int8_base, recipe.sft.compiled
    if integers and torch.cuda.is_available():
        raise RunError("sft.int8_base is for a CPU, and this machine has a GPU; remove it from the recipe")
    dense = integers or recipe.precision == "bfloat16"
    model = AutoModelForCausalLM.from_pretrained(
        base.path,
        dtype=getattr(torch, _precision(recipe)),
        attn_implementation=implementation(dense_on_cpu=dense, compiled=compiled),
    )
    adapted, clock = adapt(model, recipe.sft.adapter, base.added_tokens)
    if recipe.sft.start_from is not None:
        begin_from(adapted, Path(recipe.sft.start_from))
    if integers:
        quicken(adapted, tokens)
        spare_vocabulary(adapted)
    if compiled:
        compile_layers(adapted, clock)
    return adapted, clock


def _precision(recipe: Recipe) -> str:
    return "float32" if recipe.sft.int8_base else recipe.precision


def tokenised(tokenizer: PreTrainedTokenizerBase, rows: list[Row], recipe: Recipe) -> Any:  # noqa: ANN401
    """A dataset of ids and completion masks. Raises RunError for a row that would have to be cut."""
    from datasets import Dataset

    limit = recipe.sft.pack_to_tokens or recipe.data.max_prompt_tokens + recipe.data.max_completion_tokens
    encoded = []
    for row in rows:
        if row.completion is None:
            continue
        example = encode(tokenizer, row.prompt, row.completion)
        if example.length > limit:
            raise RunError(
                f"example {row.id} has {example.length} tokens and {limit} fit; raise pack_to_tokens or lower "
                "data.max_completion_tokens, which leaves such rows out: cutting one would lose its answer"
            )
        encoded.append(example.to_row())
    if not encoded:
        raise RunError("no row has a completion to learn from; give a source with stages: [sft] that has completions")
    return Dataset.from_list(encoded)


def common_arguments(recipe: Recipe, settings: Optimisation, output: Path, track: str) -> dict[str, Any]:
    """The trainer's arguments that both stages share."""
    cuda = torch.cuda.is_available()
    return {
        "output_dir": str(output),
        "max_steps": settings.steps,
        "per_device_train_batch_size": settings.micro_batch,
        "gradient_accumulation_steps": settings.accumulation,
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        **schedule_arguments(settings),
        "max_grad_norm": settings.max_gradient_norm,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "bf16": recipe.precision == "bfloat16",
        "use_cpu": not cuda,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_steps": settings.checkpoint_every,
        "save_total_limit": 2,
        "report_to": track,
        "disable_tqdm": True,
        "dataloader_pin_memory": cuda,
    }


def finish(
    trainer: Any,  # noqa: ANN401
    recipe: Recipe,
    stage: StageDirectory,
    earlier: tuple[Path, float] | None = None,
) -> None:
    """Save the adapter, and what the training gave; the adapter's directory appears last and whole.

    `earlier` is an adapter of which the saved one takes that share.
    """
    partial = stage.path / ".adapter.partial"
    save_adapter(trainer, partial)
    if not trainer.accelerator.is_main_process:
        return
    if earlier:
        blend(partial, *earlier)
    store(partial, recipe.precision)
    trained = [row for row in read_metrics(stage.metrics) if row.get("loss") is not None]
    seconds = round(trained_s(stage.metrics), 1)
    write_json(
        stage.result,
        {"steps": trainer.state.global_step, "seconds": seconds, "metrics": trained[-1] if trained else {}},
    )
    partial.rename(stage.adapter)


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
