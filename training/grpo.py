"""Stage 2: group-relative policy optimisation with verifiable rewards, with TRL's GRPOTrainer.

Training starts from the merged stage-1 model with a fresh adapter. What is ours: rollouts never go through live DoRA
layers (a merged copy with transformers, merged tensors computed aside for vLLM), the rewards and their log, the order
of options that changes every epoch, and prompts whose pass rate says that they teach something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from trl import GRPOConfig, GRPOTrainer

from training.adapter import adapt
from training.attention import implementation
from training.checkpoints import CheckpointRecorder, EndsWithItsSteps, newest
from training.distribution import on_main, prepare_sharding
from training.dora import NormCallback
from training.optimisation import optimizer_class_and_arguments
from training.prompts import grpo_prompts
from training.reward_log import RewardLog
from training.rollouts import MergedCopy
from training.sft import common_arguments, finish
from training.watch import Watch
from training.weight_sync import merged_parameters

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import Progress

    from training.data.rows import Row
    from training.recipe import Recipe
    from training.runs import StageDirectory


class Trainer(EndsWithItsSteps, GRPOTrainer):
    """TRL's trainer with our rollouts: `copy` is sampled from when there is one, else vLLM is fed merged tensors."""

    def __init__(self, *, copy: MergedCopy | None, rollout_batch: int, **arguments: Any) -> None:  # noqa: ANN401
        super().__init__(**arguments)
        self._copy = copy
        self._rollout_batch = rollout_batch
        self._copied_step = -1
        if self.use_vllm:
            self.vllm_generation._iter_named_params = lambda: merged_parameters(self.model)

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], *rest: object, **named: object
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        if self._copy is None:
            theirs: tuple[list[list[int]], list[list[float]] | None] = super()._generate_single_turn(
                prompt_ids, *rest, **named
            )
            return theirs
        if self._copied_step != self.state.global_step:
            self._copy.refresh(self.accelerator.unwrap_model(self.model))
            self._copied_step = self.state.global_step
        sampled = self._copy.sample(
            prompt_ids,
            max_new_tokens=self.max_completion_length,
            temperature=self.temperature,
            batch=self._rollout_batch,
        )
        return sampled, None


def train(
    recipe: Recipe,
    base: Path,
    rows: list[Row],
    stage: StageDirectory,
    *,
    progress: Progress | None = None,
    track: str = "none",
) -> None:
    """Train the stage-2 adapter on the merged stage-1 model `base`; a finished stage is not trained again.

    `rows` are prompts with keys. `track` is where metrics also go: none, tensorboard, trackio. Raises RunError;
    checkpoints are kept.
    """
    if on_main(stage.adapter.is_dir):
        return
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback

    stage.checkpoints.mkdir(parents=True, exist_ok=True)
    grpo, settings = recipe.grpo, recipe.grpo.optimisation
    tokenizer = AutoTokenizer.from_pretrained(base)
    dtype = getattr(torch, recipe.precision)
    torch.manual_seed(settings.seed)
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=dtype, attn_implementation=implementation(dense_on_cpu=recipe.precision == "bfloat16")
    )
    adapted, clock = adapt(model, grpo.adapter)
    arguments = GRPOConfig(
        **common_arguments(recipe, settings, stage.checkpoints, track),
        **policy_arguments(recipe),
    )
    prepare_sharding(arguments)
    rewards = RewardLog(grpo.rewards, tokenizer, stage.path / "completions", arguments.process_index)
    in_process = grpo.rollouts == "transformers"
    trainer = Trainer(
        copy=MergedCopy.load(base, dtype) if in_process else None,
        rollout_batch=grpo.rollout_batch,
        model=adapted,
        args=arguments,
        processing_class=tokenizer,
        reward_funcs=rewards.functions(),
        train_dataset=grpo_prompts(rows, settings.steps * grpo.prompts_per_step, settings.seed, grpo.shuffle_options),
        callbacks=[NormCallback(clock), Watch(stage.metrics, progress, "grpo"), CheckpointRecorder()],
    )
    trainer.optimizer_cls_and_kwargs = optimizer_class_and_arguments(settings)
    trainer.remove_callback(PrinterCallback)
    checkpoint = on_main(lambda: newest(stage.checkpoints))
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finish(trainer, recipe, stage)


def policy_arguments(recipe: Recipe) -> dict[str, Any]:
    """The arguments of GRPOConfig that say how the policy is sampled and improved."""
    grpo = recipe.grpo
    vllm = grpo.rollouts.partition("vllm-")[2]
    return {
        "num_generations": grpo.group_size,
        "generation_batch_size": grpo.group_size * grpo.prompts_per_step,
        "max_completion_length": recipe.data.max_completion_tokens,
        "temperature": grpo.temperature,
        "top_k": 0,
        "top_p": 1.0,
        "epsilon": grpo.clip_low,
        "epsilon_high": grpo.clip_high,
        "beta": grpo.kl_weight,
        "loss_type": grpo.loss,
        "scale_rewards": grpo.advantage_scale,
        "multi_objective_aggregation": grpo.aggregation,
        "mask_truncated_completions": grpo.mask_truncated,
        "reward_weights": RewardLog.weights(grpo.rewards),
        "shuffle_dataset": False,
        "use_vllm": bool(vllm),
        **({"vllm_mode": vllm} if vllm else {}),
    }
