"""Composes the sub-commands of `voxswap`. Heavy imports happen inside the commands."""

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Many GPT-SoVITS voices from one server.")


@app.callback()
def _root() -> None:
    """Many GPT-SoVITS voices from one server."""


def main() -> None:
    app()
