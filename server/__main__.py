"""`python -m server`: resolve the model, start vLLM, wait for it, serve.

Heavy imports happen inside the command, so that `--help` answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def serve(
    model: Annotated[str | None, typer.Option(help="nano, a directory, or org/repo[@revision] on the hub.")] = None,
    upstream: Annotated[
        str | None, typer.Option(help="Use the engine at http://host:port or unix:/path instead of starting one.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (loopback only).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
) -> None:
    """Serve a medical reasoning model through an OpenAI-compatible API.

    Every other setting is a GAZAL_... environment variable; docs/configuration.md lists them.
    """
    from pydantic import ValidationError
    from rich.console import Console

    from gazal.artifact import ArtifactError
    from server.engine import EngineFailedError
    from server.lifecycle import ListenError, run
    from server.settings import Settings

    console = Console(stderr=True)
    given = {"model": model, "upstream": upstream, "host": host, "port": port}
    try:
        settings = Settings.model_validate({name: value for name, value in given.items() if value is not None})
        status = run(settings, console)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        message = f"{field}: {message}" if field else message
        console.print(f"error: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except (ArtifactError, EngineFailedError, ListenError) as error:
        console.print(f"error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(status)


if __name__ == "__main__":
    app()
