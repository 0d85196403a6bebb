"""`training publish`: an artifact and its card to the Hugging Face hub, in one commit.

Private unless asked otherwise. The artifact is verified first, so what arrives is what its manifest says. A repository
that holds another artifact, or files that are no artifact, is left alone unless `force` is given; then the one commit
also removes what is not part of this artifact, and the earlier state stays in the repository's history.

    package = prepare(Path("runs/tiny/grpo/merged"), "someone/gazal-r1-tiny")     # verifies; needs no network
    publish(package, HfApi(), private=True)
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazal.artifact import MANIFEST_NAME, Manifest, artifact_files, verify
from training.card import write_card

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from huggingface_hub import HfApi

HUB_CARD = "README.md"
"""The hub shows this file as the model's page."""
_IGNORED = {".gitattributes"}
"""Made by the hub itself; a repository with nothing else is empty."""


class PublishError(RuntimeError):
    """An artifact cannot be published; the message says why and what to do."""


@dataclass(frozen=True)
class Package:
    """What would be sent."""

    repository: str
    manifest: Manifest
    card: str
    files: dict[str, Path]
    """Path in the repository to file here, without the card."""

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file, the card included."""
        sizes = {name: path.stat().st_size for name, path in self.files.items()}
        return dict(sorted((sizes | {HUB_CARD: len(self.card.encode())}).items()))

    @property
    def message(self) -> str:
        """Of the commit."""
        return f"{self.manifest.name}, digest {self.manifest.digest[:16]}"


@dataclass(frozen=True)
class Published:
    """What the hub answered."""

    url: str
    removed: list[str]
    created: bool
    private: bool


def prepare(
    artifact: Path,
    repository: str,
    *,
    results: Sequence[Path] = (),
    others: Sequence[Path] = (),
    recipe: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Package:
    """Verify an artifact and write its card; asks nobody.

    Raises ArtifactError, CardError, or PublishError for a name that cannot be a repository.
    """
    if not re.fullmatch(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}", repository):
        raise PublishError(f"{repository!r} is no repository name; give organisation/name")
    manifest = verify(artifact, progress)
    files = {path.relative_to(artifact).as_posix(): path for path in artifact_files(artifact)}
    files[MANIFEST_NAME] = artifact / MANIFEST_NAME
    card = write_card(artifact, results=results, others=others, recipe=recipe, repository=repository)
    return Package(repository, manifest, card, files)


def publish(package: Package, api: HfApi, *, private: bool = True, force: bool = False) -> Published:
    """Send a package in one commit. Raises PublishError; the repository is as it was then, or new and empty."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    # HTTPError is of the client that the installed huggingface_hub uses: httpx, since 2.0 httpx2.
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError

    try:
        existing = _existing(package.repository, api)
        if existing and private and not existing.private:
            raise PublishError(f"{package.repository} is public; add --public to publish there, or give another name")
        stale = _check_replaceable(package, existing, api, force) if existing else []
        if existing is None:
            api.create_repo(package.repository, private=private)
        operations = [
            *(CommitOperationDelete(path_in_repo=name) for name in stale),
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=path) for name, path in package.files.items()),
            CommitOperationAdd(path_in_repo=HUB_CARD, path_or_fileobj=package.card.encode()),
        ]
        commit = api.create_commit(
            package.repository,
            operations,
            commit_message=package.message,
            parent_commit=existing.sha if existing else None,
        )
    except LocalTokenNotFoundError as error:
        raise PublishError(_NO_TOKEN) from error
    except HfHubHTTPError as error:
        raise PublishError(_refusal(package.repository, error)) from error
    except (HTTPError, OSError) as error:
        raise PublishError(
            "the Hugging Face hub cannot be reached; check the network, HF_ENDPOINT and HF_HUB_OFFLINE, then run "
            f"again: what was already sent is not sent twice ({error})"
        ) from error
    hidden = bool(existing.private) if existing else private
    return Published(str(commit.commit_url), stale, created=existing is None, private=hidden)


def check_token() -> None:
    """Refuse early when no token is set. Raises PublishError."""
    from huggingface_hub import get_token

    if not get_token():
        raise PublishError(_NO_TOKEN)


_NO_TOKEN = "no hub token is set; run `hf auth login`, or set HF_TOKEN to one with write access"  # noqa: S105


def _existing(repository: str, api: HfApi) -> Any:  # noqa: ANN401
    """The hub's record of the repository (`sha`, `private`, `siblings`), or None."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        return api.repo_info(repository)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        return None


def _check_replaceable(package: Package, existing: Any, api: HfApi, force: bool) -> list[str]:  # noqa: ANN401
    """The files to remove from an existing repository. Raises PublishError when it holds something else."""
    there = {each.rfilename for each in existing.siblings or []} - _IGNORED
    stale = sorted(there - package.files.keys() - {HUB_CARD})
    if force or not there:
        return stale
    if MANIFEST_NAME not in there:
        raise PublishError(
            f"{package.repository} holds {len(there)} files and no {MANIFEST_NAME}; give another name, or --force to "
            "replace them (its history keeps them)"
        )
    manifest = Path(api.hf_hub_download(package.repository, MANIFEST_NAME, revision=existing.sha))
    try:
        digest = json.loads(manifest.read_text(encoding="utf-8"))["digest"]
    except (ValueError, KeyError, TypeError):
        digest = "unreadable"
    if digest != package.manifest.digest:
        raise PublishError(
            f"{package.repository} holds another artifact (digest {str(digest)[:16]}, this one is "
            f"{package.manifest.digest[:16]}); give another name, or --force to replace it (its history keeps it)"
        )
    return stale


def _refusal(repository: str, error: Any) -> str:  # noqa: ANN401
    status = error.response.status_code if error.response is not None else None
    if status == 401:
        return "the hub does not accept the token; run `hf auth login`, or set HF_TOKEN to one with write access"
    if status == 403:
        organisation = repository.partition("/")[0]
        return f"the token may not write to {repository}; give it write access to {organisation}, or another name"
    if status == 412:
        return f"someone else changed {repository} meanwhile; look at it, then run again"
    return f"the hub refused: {str(error).strip().splitlines()[0] if str(error).strip() else status}"
