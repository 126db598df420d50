import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.fixtures.certificates import Authority
from tests.fixtures.server_thread import server_thread
from voxswap_server.auth.keys import create_key


@pytest.fixture(autouse=True)
def lines():
    """What the server logs; else it would be in the output of commands, which run in the same process here."""
    with capture_logs(processors=(merge_contextvars,)) as lines:
        yield lines


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def keys_file(tmp_path):
    return tmp_path / "keys.toml"


@pytest.fixture
def key(keys_file):
    """Makes a key of some scopes."""
    return lambda *scopes: create_key(keys_file, f"key-{'-'.join(scopes)}", scopes)


@pytest.fixture
def serve():
    """A server of fakes with an authenticator, TLS or both, to be entered."""
    return server_thread
