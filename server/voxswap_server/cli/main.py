"""Composes the sub-commands of `voxswap`. Heavy imports happen inside the commands."""

import typer

from voxswap_client.cli import register
from voxswap_server.cli.assets import assets
from voxswap_server.cli.bench import bench
from voxswap_server.cli.demo import demo
from voxswap_server.cli.doctor import doctor
from voxswap_server.cli.keys import keys
from voxswap_server.cli.parity import parity
from voxswap_server.cli.parity_text import parity_text
from voxswap_server.cli.serve import check_config, serve
from voxswap_server.cli.store import import_

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Many GPT-SoVITS voices from one server.")


@app.callback()
def _root() -> None:
    """Many GPT-SoVITS voices from one server."""


app.command()(demo)
app.command()(serve)
app.command()(check_config)
app.command()(doctor)
app.command("import")(import_)
app.add_typer(assets, name="assets")
app.add_typer(keys, name="keys")
app.command()(parity_text)
app.command()(parity)
app.command()(bench)
register(app)


def main() -> None:
    app()
