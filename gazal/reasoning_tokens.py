"""The reasoning tokens and the plain chat template, for a base that knows neither.

Every Qwen3 has `<think>` and `</think>`. Another base gets them as ordinary added tokens, whose embeddings begin as the
mean of the pieces that spelled them, and ChatML without a system prompt of its own, because serving sends none.

    indices = add_reasoning_tokens(Path("SmolLM2-135M-Instruct"), Path("base"))
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from gazal.artifact import ArtifactError

REASONING_TOKENS = ("<think>", "</think>")
"""Ordinary added tokens as in Qwen3, not special ones: engines leave special tokens out of the text they return."""
CHATML = (Path(__file__).parent / "chatml.jinja").read_text(encoding="utf-8")
"""The plain ChatML template, for bases that have no template with reasoning."""
_SMALL_MODEL_BYTES = 8 << 30


def add_reasoning_tokens(source: Path, target: Path) -> list[int]:
    """Copy a model to `target` with the reasoning tokens and the ChatML template; returns the tokens' indices.

    Raises ArtifactError for a model too large to be rewritten in memory: those that matter know the tokens.
    """
    import torch
    from tokenizers import AddedToken
    from transformers import AutoModelForCausalLM, AutoTokenizer

    size = sum(path.stat().st_size for path in source.glob("*.safetensors"))
    if size > _SMALL_MODEL_BYTES:
        raise ArtifactError(
            f"{source.name} has no {REASONING_TOKENS[0]} token and {size >> 30} GB; take a base that has one"
        )
    tokenizer = AutoTokenizer.from_pretrained(source)
    pieces = {token: tokenizer(token, add_special_tokens=False)["input_ids"] for token in REASONING_TOKENS}
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in REASONING_TOKENS])
    tokenizer.chat_template = CHATML
    model = AutoModelForCausalLM.from_pretrained(source, dtype="auto")
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    added = [tokenizer.convert_tokens_to_ids(token) for token in REASONING_TOKENS]
    tables = {id(table.weight): table.weight for table in (model.get_input_embeddings(), model.get_output_embeddings())}
    with torch.no_grad():
        for token, index in zip(REASONING_TOKENS, added, strict=True):
            for table in tables.values():
                table[index] = table[pieces[token]].float().mean(dim=0).to(table.dtype)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        partial = Path(scratch) / "base"
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.rename(target)
    return added
