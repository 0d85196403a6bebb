"""Turn the GGUF file of the embedded base model into a plain Hugging Face directory.

Run as a program (`python -m gazal.dequantize FILE.gguf DIRECTORY`), because torch and transformers should live in a
process that ends, not in the gateway. transformers alone leaves the weights packed; `dequantize=True` gives plain
tensors that can be saved, merged and trained.
"""

from __future__ import annotations

import sys
from pathlib import Path


def dequantize(gguf: Path, directory: Path) -> None:
    """Write bfloat16 safetensors, configuration, tokenizer and chat template of `gguf` into `directory`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    model = AutoModelForCausalLM.from_pretrained(
        **source, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


if __name__ == "__main__":
    dequantize(Path(sys.argv[1]), Path(sys.argv[2]))
