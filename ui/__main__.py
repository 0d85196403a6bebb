"""`python -m ui`: the clinician demo over a server, or over recorded answers; `python -m ui record` makes those anew.

Heavy imports happen inside the command, so that `--help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ui.settings import UiSettings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

RECORDINGS = Path(__file__).with_name("recordings")


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    server_url: Annotated[str | None, typer.Option(help="The server to ask; by default http://127.0.0.1:8000.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; by default this machine only.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 7860 by default, 0 takes a free one.")] = None,
    root_path: Annotated[str | None, typer.Option(help="Path under which a proxy shows the page, as /gazal.")] = None,
    replay: Annotated[bool, typer.Option("--replay", help="Show recorded answers; no server is needed.")] = False,
) -> None:
    """Show the clinician demo in a browser. Research use only; not a medical device.

    Every other setting is a GAZAL_UI_... environment variable; docs/ui.md lists them.
    """
    if context.invoked_subcommand is not None:
        return
    from ui.replay import RecordingError
    from ui.serve import run

    settings = _settings(server_url=server_url, host=host, port=port, root_path=root_path)
    try:
        run(settings, RECORDINGS if replay else None)
    except (OSError, RecordingError) as error:
        raise _failed(str(error), 1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command("record")
def record_examples(
    server_url: Annotated[str | None, typer.Option(help="The server to ask; by default http://127.0.0.1:8000.")] = None,
    directory: Annotated[Path, typer.Option(help="Where the recordings go.")] = RECORDINGS,
) -> None:
    """Record the answers of a running server to every example, in place of those in the directory."""
    from ui.client import Failure
    from ui.serve import record_all

    settings = _settings(server_url=server_url)
    try:
        record_all(settings, directory)
    except Failure as failure:
        raise _failed(f"the server gave no answer: {failure.kind} {failure.detail}".rstrip(), 1) from None
    except OSError as error:
        raise _failed(str(error), 1) from None


def _settings(**given: object) -> UiSettings:
    import os

    from ui.settings import SettingsError, UiSettings

    try:
        return UiSettings.from_environment(os.environ, **given)
    except SettingsError as error:
        raise _failed(str(error), 2) from None


def _failed(message: str, status: int) -> typer.Exit:
    from rich.console import Console

    Console(stderr=True).print(message, style="red", markup=False)
    return typer.Exit(status)


if __name__ == "__main__":
    app(prog_name="python -m ui")
