import pytest

from voxswap_server.text.frontend import TextFrontend


@pytest.fixture(scope="session")
def frontend():
    return TextFrontend()
