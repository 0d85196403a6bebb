"""Writes the files of docker/ and docs/ that say again what a profile or a rule says, so that they cannot differ.

    python scripts/deploy_files.py            # write them
    python scripts/deploy_files.py --check    # exit 1 and name those that are not current

Made: `docker/engine/PROFILE.yaml` for vLLM's `--config`, the PrometheusRule of Kubernetes from
`docker/prometheus/rules.yml`, and the tables of docs/sizing.md and docs/scaling.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from server.profiles import load, names
from server.sizing import GPUS, QWEN3_32B, RESERVE_GB, USABLE_SHARE, fit

ROOT = Path(__file__).parents[1]

_COSTED = (
    ("h100", 1, "fp8"),
    ("h100", 2, "bf16"),
    ("h200", 1, "bf16"),
    ("h200", 1, "fp8"),
    ("b200", 1, "fp8"),
    ("l40s", 2, "fp8"),
)
_BEGIN, _END = "<!-- made by scripts/deploy_files.py -->", "<!-- end -->"


def files() -> dict[Path, str]:
    """Path and text of every made file."""
    made = {}
    for profile in map(load, names()):
        if profile.gpu != "cpu":
            head = (
                f"# Made from server/profiles/{profile.name}.toml by scripts/deploy_files.py.\n# {profile.summary}.\n"
            )
            made[ROOT / "docker" / "engine" / f"{profile.name}.yaml"] = head + dump(profile.container_config())
    rules = (ROOT / "docker" / "prometheus" / "rules.yml").read_text(encoding="utf-8")
    made[ROOT / "docker" / "k8s" / "observability" / "rules.yaml"] = prometheus_rule(rules)
    for name, table in (("sizing", sizing_table()), ("scaling", cost_table())):
        page = ROOT / "docs" / f"{name}.md"
        made[page] = with_table(page.read_text(encoding="utf-8"), table)
    return made


def dump(data: object) -> str:
    """YAML in the order given."""
    return yaml.safe_dump(data, sort_keys=False, width=120, allow_unicode=True)


def prometheus_rule(rules: str) -> str:
    """The rules as the resource that the Prometheus operator reads."""
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "gazal"},
        "spec": yaml.safe_load(rules),
    }
    return "# Made from docker/prometheus/rules.yml by scripts/deploy_files.py.\n" + dump(resource)


def with_table(page: str, table: str) -> str:
    """The page with its made part replaced."""
    before, _, rest = page.partition(_BEGIN)
    return before + _BEGIN + "\n\n" + table + "\n" + _END + rest.partition(_END)[2]


def cost_table() -> str:
    """GPU-hours for a thousand answers of 2,500 tokens, at two thirds of the roofline, for three loads."""
    lines = [
        "| GPUs | weights | tokens/s at two thirds of the roofline | fully used | half | a tenth |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, count, weights in _COSTED:
        way = fit(GPUS[name], count, 8192, 10**6, weights)  # type: ignore[arg-type]
        per_second = way.tokens_per_second_all * 2 / 3
        hours = count * 1000 * 2500 / per_second / 3600
        spent = " | ".join(f"{hours / share:.1f}" for share in (1, 0.5, 0.1))
        lines.append(f"| {count} x {name} | {weights} | {per_second:,.0f} | {spent} |")
    return "\n".join(lines) + "\n"


def sizing_table() -> str:
    """Memory, cache and speed of every GPU and way to store the weights, for contexts of 8,192 tokens."""
    lines = [
        f"Per GPU {USABLE_SHARE:.0%} of its memory less {RESERVE_GB:g} GB is usable. BF16 weights take "
        f"{QWEN3_32B.weights_gb('bf16'):.1f} GB, FP8 {QWEN3_32B.weights_gb('fp8'):.1f} GB; a token of the cache "
        f"{QWEN3_32B.cache_bytes_per_token >> 10} KiB.",
        "",
        "| GPUs | memory, bandwidth of one | weights | tokens in the cache | users of 8,192 | tokens/s, one user | "
        "tokens/s, all | source |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for gpu in GPUS.values():
        for count in (1, 2, 4):
            for weights in ("bf16", "fp8") if gpu.fp8 else ("bf16",):
                way = fit(gpu, count, 8192, 10**6, weights)  # type: ignore[arg-type]
                if not way.users_at_once:
                    continue
                lines.append(
                    f"| {count} x {gpu.name} | {gpu.memory_gb:g} GB, {gpu.bandwidth_gb_s / 1000:g} TB/s | {weights} | "
                    f"{way.cache_tokens:,} | {way.users_at_once} | {way.tokens_per_second_one:.0f} | "
                    f"{way.tokens_per_second_all:,.0f} | {gpu.source} |"
                )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    stale = [path for path, text in files().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if options.check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not current; run python scripts/deploy_files.py")
        return 1 if stale else 0
    for path in stale:
        path.write_text(files()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
