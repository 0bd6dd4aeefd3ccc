"""`featherface web`: the browser page, on this machine."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(web)


def web(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 8765,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Serve the page that finds faces inside the browser, on 127.0.0.1 only. Ctrl+C ends it."""
    import webbrowser

    from featherface.web import open_server

    with open_server(port) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        typer.echo(f"{address} (Ctrl+C ends it)")
        if open_browser:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("ended")
