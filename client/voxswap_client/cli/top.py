"""`voxswap top`: a server at a glance."""

import threading
from typing import Annotated

import typer
from rich.live import Live

from voxswap_client.cli.connecting import HERE, Server
from voxswap_client.cli.session import plain_console, told_plainly
from voxswap_client.top.scrape import Scraper
from voxswap_client.top.view import drawn
from voxswap_client.top.watch import Watch

METRICS_PORT = 9464


@told_plainly
def top(
    metrics: Annotated[
        str, typer.Option(help=f"URL of the metrics. Default: port {METRICS_PORT} of the same host.")
    ] = "",
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)] = 1.0,
    looks: Annotated[int, typer.Option(help="Stop after so many; 0: at Ctrl-C.", min=0)] = 0,
    server: Server = HERE,
) -> None:
    """Show what a server does: residents, queue, time to first audio, swaps; redrawn until Ctrl-C.

    With keys, the key needs the scope metrics.
    """
    scraper = Scraper(metrics or _metrics_of(server), server.api_key, server.tls_ca, server.tls_cert, server.tls_key)
    console, pause = plain_console(), threading.Event()
    with server.client() as client:
        watch = Watch(client, scraper)
        try:
            with watch.following(), Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
                done = 0
                while True:
                    live.update(drawn(watch.moment()), refresh=True)
                    done += 1
                    if done == looks:
                        return
                    pause.wait(every)
        except KeyboardInterrupt:
            return  # the usual way to end


def _metrics_of(server: Server) -> str:
    host = server.address.rpartition(":")[0] or "localhost"
    return f"{'https' if server.secured() else 'http'}://{host}:{METRICS_PORT}/metrics"
