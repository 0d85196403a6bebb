"""Model references: what resolves, what is refused and with which fix."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import errors

from gazal import models
from gazal.artifact import ArtifactError, Base, Manifest, digest_of, hash_files
from gazal.models import gazal_home, resolve

TINY = {"config.json": b"{}", "tokenizer_config.json": b"{}", "model.safetensors": b"weights"}
UNREACHABLE = "is not in the local cache and the Hugging Face hub cannot be reached"


def write_model(directory: Path, files: dict[str, bytes] = TINY) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny-model")


def save_manifest(directory: Path) -> Manifest:
    files = hash_files(directory)
    manifest = Manifest(
        name="trained", base=Base(reference="org/base"), licence="MIT", files=files, digest=digest_of(files)
    )
    manifest.save(directory)
    return manifest


@pytest.mark.parametrize("reference", ["gpt", "no such model", "./missing", "/missing/too", "a/b/c", "@main", "a\0b"])
def test_an_unknown_reference_is_refused_with_the_kinds_there_are(reference: str) -> None:
    with pytest.raises(
        ArtifactError, match=r"neither 'nano', nor a directory that exists, nor 'org/repo\[@revision\]'"
    ):
        resolve(reference)


@pytest.mark.parametrize("reference", ["x" * 5000, "~no-such-user/model"], ids=["too long", "unknown user"])
def test_a_reference_that_can_be_no_path_is_refused_alike(reference: str) -> None:
    with pytest.raises(ArtifactError, match="neither 'nano', nor a directory"):
        resolve(reference)


def test_weights_without_a_manifest_get_one_in_memory(model: Path) -> None:
    resolved = resolve(str(model))
    assert resolved.path == model
    assert resolved.manifest.name == "tiny-model"
    assert resolved.manifest.files == {name: hashlib.sha256(content).hexdigest() for name, content in TINY.items()}
    assert resolved.manifest.digest == digest_of(resolved.manifest.files)
    assert not resolved.manifest.knows_grammar
    assert {path.name for path in model.iterdir()} == set(TINY)


def test_weights_with_a_manifest_are_verified(model: Path) -> None:
    manifest = save_manifest(model)
    assert resolve(str(model)).manifest == manifest


def test_a_damaged_directory_of_the_user_is_refused_and_left_alone(model: Path) -> None:
    save_manifest(model)
    (model / "model.safetensors").write_bytes(b"damage")
    with pytest.raises(ArtifactError, match=r"model.safetensors has sha256 .+ restore the artifact or build it again"):
        resolve(str(model))
    assert (model / "model.safetensors").read_bytes() == b"damage"


def test_progress_is_reported(model: Path) -> None:
    calls: list[tuple[int, int]] = []
    resolve(str(model), progress=lambda done, total: calls.append((done, total)))
    size = sum(map(len, TINY.values()))
    assert {total for _, total in calls} == {size}
    assert max(done for done, _ in calls) == size


@pytest.mark.parametrize("missing", ["config.json", "tokenizer_config.json"])
def test_a_missing_configuration_or_tokenizer_is_named(model: Path, missing: str) -> None:
    (model / missing).unlink()
    with pytest.raises(ArtifactError, match=rf"/{missing} is missing; copy the complete model directory"):
        resolve(str(model))


def test_a_directory_without_weights_is_refused(model: Path) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"has no \*.safetensors weights$"):
        resolve(str(model))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_pickled_weights_are_refused_with_the_fix(model: Path, name: str) -> None:
    (model / "model.safetensors").rename(model / name)
    with pytest.raises(ArtifactError, match=f"{name} is a pickle, convert it to safetensors"):
        resolve(str(model))


@pytest.mark.parametrize("name", ["training_args.bin", "optimizer.pt", "state/scheduler.pkl", "embeddings.npy"])
def test_a_pickle_beside_good_weights_is_refused_too(model: Path, name: str) -> None:
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_bytes(b"x")
    with pytest.raises(ArtifactError, match=f"{name} is a pickle"):
        resolve(str(model))


@pytest.mark.parametrize("content", [b"\x80\x04\x95" + b"." * 20, b"PK\x03\x04" + b"." * 20], ids=["pickle", "zip"])
def test_a_pickle_that_calls_itself_safetensors_is_refused(model: Path, content: bytes) -> None:
    (model / "model.safetensors").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model.safetensors is a pickle"):
        resolve(str(model))


@pytest.mark.parametrize("header_bytes", [0x0480, 0x0580, 0x04034B50])
def test_safetensors_whose_length_looks_like_a_pickle_is_accepted(model: Path, header_bytes: int) -> None:
    (model / "model.safetensors").write_bytes(header_bytes.to_bytes(8, "little") + b'{"__metadata__":{}}')
    assert resolve(str(model)).path == model


@pytest.mark.parametrize("name", ["modeling_custom.py", "kernel.so"])
def test_code_that_comes_with_weights_is_refused(model: Path, name: str) -> None:
    (model / name).write_text("print('hello')")
    with pytest.raises(ArtifactError, match=rf"{name} is a program; remove it"):
        resolve(str(model))


def write_index(directory: Path, *shards: str) -> None:
    weight_map = {f"layer.{number}": shard for number, shard in enumerate(shards)}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_a_shard_that_the_index_lists_and_is_missing_is_named(model: Path) -> None:
    write_index(model, "model.safetensors", "model-2.safetensors")
    with pytest.raises(ArtifactError, match=r"model-2.safetensors is missing, the index lists it; copy the complete"):
        resolve(str(model))


def test_a_complete_set_of_shards_is_loadable(model: Path) -> None:
    write_index(model, "model.safetensors")
    assert "model.safetensors" in resolve(str(model)).manifest.files


@pytest.mark.parametrize("index", ["{", "{}"])
def test_a_damaged_index_is_refused(model: Path, index: str) -> None:
    (model / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ArtifactError, match=r"model.safetensors.index.json"):
        resolve(str(model))


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_hub_that_cannot_be_reached_gives_one_clear_sentence(tmp_path: Path, offline: str) -> None:
    environment = os.environ | {
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HUB_OFFLINE": offline,
        "HF_HOME": str(tmp_path),
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "PYTHONPATH": str(Path(models.__file__).parents[1]),
    }
    command = [sys.executable, "-c", "from gazal.models import resolve; resolve('org/repo@v1')"]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    last = finished.stderr.strip().splitlines()[-1]
    assert last.startswith(f"gazal.artifact.ArtifactError: org/repo@v1 {UNREACHABLE}; check the network")
    assert last.endswith("or use the embedded model 'nano'")


def hub_error(kind: type[Exception], status: int) -> Exception:
    response = httpx.Response(status, request=httpx.Request("GET", "http://127.0.0.1"))
    return kind("no", response=response)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (hub_error(errors.GatedRepoError, 403), "asks for its licence to be accepted on the hub, then for HF_TOKEN"),
        (hub_error(errors.RepositoryNotFoundError, 404), "is not on the hub .+ check the spelling"),
        (hub_error(errors.RevisionNotFoundError, 404), "has no revision 'v1'; name a branch, tag or commit"),
        (hub_error(errors.HfHubHTTPError, 503), UNREACHABLE),
        (errors.LocalEntryNotFoundError("no"), UNREACHABLE),
        (OSError("disk"), UNREACHABLE),
    ],
    ids=["gated", "no repository", "no revision", "server error", "offline", "input/output"],
)
def test_what_the_hub_refuses_is_said_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    def fail(*args: Any, **options: Any) -> str:
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(ArtifactError, match=f"^org/repo.* {sentence}"):
        resolve("org/repo@v1")


@pytest.mark.parametrize("reference", ["org/a--b", "org/a.git", "org/" + "a" * 120, "org_/é"])
def test_a_name_the_hub_does_not_allow_is_refused(reference: str) -> None:
    with pytest.raises(ArtifactError):
        resolve(reference)


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub snapshot as it lies in the cache: links to blobs, large ones named by their sha256."""
    directory = tmp_path / "snapshots" / "0123abcd"
    directory.mkdir(parents=True)
    for name, content in TINY.items():
        blob = tmp_path / (hashlib.sha256(content).hexdigest() if "safetensors" in name else name)
        blob.write_bytes(content)
        (directory / name).symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *args, **options: str(directory))
    return directory


def test_a_hub_model_is_recorded_with_the_commit_it_came_from(snapshot: Path) -> None:
    resolved = resolve("org/repo@main")
    assert resolved.path == snapshot
    assert resolved.manifest.name == "repo"
    assert resolved.manifest.base == Base(reference="org/repo", revision="0123abcd")


def test_a_damaged_download_shows_by_the_name_of_its_blob(snapshot: Path) -> None:
    (snapshot / "model.safetensors").write_bytes(b"damage")
    with pytest.raises(ArtifactError, match=r"model.safetensors is damaged; delete .+ and run again to fetch it anew"):
        resolve("org/repo")


def test_the_home_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GAZAL_HOME", str(tmp_path))
    assert gazal_home() == tmp_path
    monkeypatch.setenv("GAZAL_HOME", "")
    assert gazal_home() == Path.home() / ".cache" / "gazal"
