"""vLLM's own parser takes every profile, as flags and as the file of a container."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from server.profiles import load, names
from tests.docker.deployment import DOCKER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PARSE = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
parsed = []
for words in json.loads(sys.argv[1]):
    try:
        parsed.append({name: str(value) for name, value in vars(parser.parse_args(words)).items()})
    except SystemExit:
        parsed.append(None)
print(json.dumps(parsed))
"""


def test_vllm_knows_every_flag_of_every_profile() -> None:
    gpu = [name for name in names() if name != "cpu"]
    lines = [load(name).arguments() for name in names()]
    lines += [["--config", str(DOCKER / "engine" / f"{name}.yaml")] for name in gpu]
    lines.append([*load("balanced").arguments(), "--max-model-length-typo", "1"])
    finished = subprocess.run(
        [sys.executable, "-c", PARSE, json.dumps(lines)], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    parsed = json.loads(finished.stdout.splitlines()[-1])
    assert parsed[-1] is None
    assert all(parsed[:-1])
    by_flags = dict(zip(names(), parsed, strict=False))
    by_file = dict(zip(gpu, parsed[len(names()) :], strict=False))
    for name in gpu:
        profile, flags, file = load(name), by_flags[name], by_file[name]
        assert file["max_model_len"] == flags["max_model_len"] == str(profile.flags["max-model-len"])
        assert file["tensor_parallel_size"] == str(profile.count)
        assert file["quantization"] == str(profile.flags.get("quantization"))
        assert (file["model"], file["port"], file["reasoning_parser"]) == ("/models/gazal-r1", "8000", "qwen3")
        assert (file["enable_log_requests"], file["disable_fastapi_docs"]) == ("False", "True")
        assert ("eagle3" in file["speculative_config"]) == (name == "latency")
