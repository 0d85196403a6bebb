"""`python -m server`: resolve the model, start vLLM, wait for it, serve. Its verbs care for keys, audit and probes.

Heavy imports happen inside the command, so that `--help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.content import ContentStore
    from server.keys import KeyFile

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
keys = typer.Typer(help="API keys: a running server sees changes within a second.", no_args_is_help=True)
audit = typer.Typer(help="The audit trail.", no_args_is_help=True)
app.add_typer(keys, name="keys")
app.add_typer(audit, name="audit")
content = typer.Typer(help="Text of requests that was kept on purpose.", no_args_is_help=True)
app.add_typer(content, name="content")


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(help="nano, a directory, or org/repo[@revision] on the hub.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="Model and vLLM flags for one kind of hardware; `size` says which.")
    ] = None,
    upstream: Annotated[
        str | None, typer.Option(help="Use the engine at http://host:port or unix:/path instead of starting one.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; without API keys only loopback.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
) -> None:
    """Serve a medical reasoning model through an OpenAI-compatible API.

    Every other setting is a GAZAL_... environment variable; docs/configuration.md lists them.
    """
    if context.invoked_subcommand is not None:
        return
    from pydantic import ValidationError
    from rich.console import Console

    from gazal.artifact import ArtifactError
    from server.audit import AuditError
    from server.content import ContentError
    from server.engine import EngineFailedError
    from server.keys import KeysError
    from server.lifecycle import ListenError, run
    from server.settings import Settings

    console = Console(stderr=True)
    given = {"model": model, "profile": profile, "upstream": upstream, "host": host, "port": port}
    try:
        settings = Settings.model_validate({name: value for name, value in given.items() if value is not None})
        status = run(settings, console)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise _failed(f"{field}: {message}" if field else message, 2) from None
    except (ArtifactError, AuditError, ContentError, EngineFailedError, KeysError, ListenError, ValueError) as error:
        raise _failed(str(error), 1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(status)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    scope: Annotated[list[str] | None, typer.Option(help="inference (default), metrics or admin; repeatable.")] = None,
    expires_days: Annotated[float | None, typer.Option(help="Days until it expires; by default never.", min=0)] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1)] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(min=1)] = None,
    concurrent_streams: Annotated[int | None, typer.Option(min=1)] = None,
) -> None:
    """Make a key and print it, this once."""
    from server.access import ALL_SCOPES
    from server.keys import KeysError, Limits

    asked = frozenset(scope or ["inference"])
    scopes = ALL_SCOPES & asked
    if scopes != asked:
        raise _failed(f"--scope must be one of {', '.join(sorted(ALL_SCOPES))}", 2)
    limits = Limits(
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        concurrent_streams=concurrent_streams,
    )
    try:
        plain, key = _key_file().create(name, scopes, expires_days, limits)
    except (KeysError, ValueError) as error:
        raise _failed(str(error), 1) from None
    typer.echo(plain)
    typer.echo(f"id {key.id}; it cannot be shown again", err=True)


@keys.command("list")
def list_keys() -> None:
    """Show all keys, without the keys themselves."""
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.table import Table

    from server.keys import KeysError

    table = Table("id", "name", "scopes", "state", "created", "expires", "limits")
    try:
        stored = _key_file().read()
    except KeysError as error:
        raise _failed(str(error), 1) from None
    for key in stored:
        limits = ", ".join(f"{name} {value}" for name, value in key.limits if value is not None)
        table.add_row(
            key.id,
            key.name,
            ", ".join(sorted(key.scopes)),
            key.state(datetime.now(UTC)),
            f"{key.created:%Y-%m-%d}",
            f"{key.expires:%Y-%m-%d %H:%M}" if key.expires else "never",
            limits,
        )
    Console().print(table)


@keys.command("revoke")
def revoke_key(identifier: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")]) -> None:
    """Revoke a key; a running server refuses it within a second."""
    from server.keys import KeysError

    try:
        key = _key_file().revoke(identifier)
    except KeysError as error:
        raise _failed(str(error), 1) from None
    typer.echo(f"revoked {key.id} ({key.name})")


@audit.command("verify")
def verify_audit(
    path: Annotated[Path | None, typer.Argument(help="The trail; by default GAZAL_AUDIT_FILE.")] = None,
) -> None:
    """Check that no record of the trail was changed, removed or moved."""
    from server.audit import verify
    from server.keys import KeysError, load_secret
    from server.settings import Settings

    settings = Settings()
    trail = path or settings.audit_file
    if trail is None:
        raise _failed("name the trail, or set GAZAL_AUDIT_FILE", 2)
    try:
        verdict = verify(trail, load_secret(settings.secret_file))
    except KeysError as error:
        raise _failed(str(error), 1) from None
    if verdict.problem:
        raise _failed(f"{verdict.problem} ({verdict.records} records before it are sound)", 1)
    typer.echo(f"{verdict.records} records, all sound")


@content.command("purge")
def purge_content(
    everything: Annotated[bool, typer.Option("--all", help="Delete what is not yet too old, too.")] = False,
) -> None:
    """Delete kept content that is too old; for a timer where no server runs all the time."""
    from server.content import ContentError

    try:
        gone = _content_store().purge(everything=everything)
    except ContentError as error:
        raise _failed(str(error), 1) from None
    typer.echo(f"{gone} file(s) deleted")


@content.command("show")
def show_content() -> None:
    """Say how much content is kept and since when, without showing it."""
    from datetime import UTC, datetime

    kept = _content_store().kept()
    since = f", the oldest since {datetime.fromtimestamp(kept.oldest, UTC):%Y-%m-%d %H:%M} UTC" if kept.oldest else ""
    typer.echo(f"{kept.records} record(s) in {kept.files} file(s){since}")


@app.command("probe")
def probe(
    url: Annotated[str, typer.Argument(help="Where the server listens, such as http://127.0.0.1:8000.")],
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait for the answer.")] = 5.0,
) -> None:
    """Exit with 0 when the server is ready, else with 1 and the reason: for a Kubernetes exec probe."""
    import json
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url.rstrip("/") + "/readyz", timeout=timeout_s):  # noqa: S310
            typer.echo("ready")
            return
    except urllib.error.HTTPError as error:
        try:
            reason = json.load(error).get("reason") or error.reason
        except (ValueError, AttributeError):
            reason = error.reason
    except (OSError, ValueError) as error:
        reason = f"no answer ({error})"
    raise _failed(f"not ready: {reason}", 1)


@app.command("size")
def size_hardware(
    gpu: Annotated[str, typer.Option(help="l4, rtx4090, l40s, a100-80, h100, h100-nvl, h200 or b200.")],
    count: Annotated[int, typer.Option(help="GPUs that share one copy of the model.", min=1)] = 1,
    context: Annotated[int, typer.Option(help="Tokens of prompt and reply together.", min=256)] = 8192,
    users: Annotated[int, typer.Option(help="Requests at the same moment.", min=1)] = 32,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether Gazal-R1 32B fits, its best speed, and which profile to take. Arithmetic, not measured."""
    import json

    from rich.console import Console

    from server.sizing import GPUS, size
    from server.sizing_text import table

    if gpu not in GPUS:
        raise _failed(f"--gpu must be one of {', '.join(GPUS)}", 2)
    try:
        sizing = size(GPUS[gpu], count, context, users)
    except ValueError as error:
        raise _failed(str(error), 2) from None
    if as_json:
        typer.echo(json.dumps(sizing.as_dict(), indent=1))
    else:
        console = Console(width=120)
        console.print(table(sizing, GPUS[gpu]))
        console.print(sizing.advice, highlight=False, markup=False, soft_wrap=True)
        console.print(f"source   {GPUS[gpu].source}\nnote     {sizing.note}", highlight=False, style="dim")
    raise typer.Exit(0 if sizing.fits else 1)


@app.command("prefetch")
def prefetch_model(
    reference: Annotated[str, typer.Argument(metavar="REF", help="nano, a directory, or org/repo[@revision].")],
    to: Annotated[Path, typer.Option(help="Directory to make; done already, it is only verified.")],
) -> None:
    """Fetch and verify a model into a directory that any machine can serve from, without network."""
    from gazal.artifact import ArtifactError
    from server.prefetch import prefetch

    try:
        manifest = prefetch(reference, to)
    except ArtifactError as error:
        raise _failed(str(error), 1) from None
    typer.echo(f"{manifest.name}, digest {manifest.digest[:16]}, {len(manifest.files)} files in {to}")


def _content_store() -> ContentStore:
    from server.content import ContentError, ContentStore
    from server.settings import Settings

    settings = Settings()
    if settings.content_dir is None:
        raise _failed("no content is kept; GAZAL_CONTENT_DIR is not set", 2)
    try:
        return ContentStore(settings.content_dir, 3600 * settings.content_keep_hours, purge=False)
    except ContentError as error:
        raise _failed(str(error), 1) from None


def _key_file() -> KeyFile:
    from server.keys import KeyFile, keys_path, load_secret
    from server.settings import Settings

    settings = Settings()
    return KeyFile(keys_path(settings.keys_file), load_secret(settings.secret_file))


def _failed(message: str, status: int) -> typer.Exit:
    from rich.console import Console

    Console(stderr=True).print(f"error: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
    return typer.Exit(status)


if __name__ == "__main__":
    app()
