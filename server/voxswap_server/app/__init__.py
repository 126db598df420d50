"""The composition root: settings -> store -> engine -> servicers -> servers, and down again in the opposite order.

The only package that sees everything. `engine` builds what stands behind the transports, `transports` builds those,
`access` says who may come in, `readiness` is what comes before the first request, `upkeep` what goes on beside the
requests; `server` starts and drains all of it.
"""

from voxswap_server.app.access import listening, secured
from voxswap_server.app.engine import Engine, build_engine
from voxswap_server.app.server import Running, running, serve
from voxswap_server.app.upkeep import audit_residency

__all__ = [
    "Engine",
    "Running",
    "audit_residency",
    "build_engine",
    "listening",
    "running",
    "secured",
    "serve",
]
