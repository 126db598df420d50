"""What can be wrong with a directory of goldens, as opposed to with our networks."""

from voxswap_server.errors import RequestError


class BadGoldens(RequestError):
    """The directory is not one of goldens, or a file in it cannot be what it says."""

    reason = "BAD_GOLDENS"
