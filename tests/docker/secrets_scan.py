"""Looks for secrets, keys and prompts in what is deployed."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docker.deployment import DOCKER, ROOT

_PATTERNS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a key of the gateway": r"gazal_[0-9a-f]{12}_[A-Za-z0-9_-]{43}",
    "a token of the hub": r"\bhf_[A-Za-z0-9]{30,}",
    "a key of a cloud": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bghp_[A-Za-z0-9]{36}|\bsk-[A-Za-z0-9_-]{20,}",
    "a bearer token": r"[Bb]earer [A-Za-z0-9._-]{16,}",
    "keys in the environment": r"GAZAL_API_KEYS\s*[:=]\s*\S",
    "a Kubernetes secret": r"^kind:\s*Secret\s*$",
    "a value that is called secret": (
        r"(?i)\b[\w.-]*(?:password|passwd|token|secret|api_?key)(?:_?key)?[\"']?\s*[:=]\s*[\"']?"
        r"(?!/run/|/etc/|\$|\{|\[|<|%)[^\s\"'#,}]{8,}"
    ),
    "a patient": r"(?i)\b\d{1,3}[- ]year[- ]old\b|\bcomplain(?:s|ing) of\b|<think>",
}
_HARMLESS = re.compile(
    r"""(?x)
    secretKeyRef | secretName | secret:\s*\{ | credentials_file | _FILE\b | __FILE\b
    | max_new_tokens | --hash=sha256 | num_speculative_tokens | generation_tokens | prompt_tokens | _tokens_?
    """
)


def scanned_files() -> list[Path]:
    """Everything that ends up in an image layer, a compose file, a manifest or a unit."""
    deployed = [path for path in DOCKER.rglob("*") if path.is_file() and "secrets" not in path.parts]
    return sorted([*deployed, ROOT / ".dockerignore", *(ROOT / "requirements").glob("*")])


def findings(text: str) -> list[str]:
    """What was found, by line, without the find itself."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for what, pattern in _PATTERNS.items():
            if what == "a value that is called secret" and _HARMLESS.search(line):
                continue
            if re.search(pattern, line, re.MULTILINE):
                found.append(f"line {number}: {what}")
    return found
