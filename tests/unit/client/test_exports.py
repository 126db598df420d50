"""What the package promises by name, and what it must not bring along."""

import inspect
import subprocess
import sys

import voxswap_client
from voxswap.v1 import model_admin_service_pb2, speech_service_pb2, voice_service_pb2
from voxswap_client import errors


def test_every_exported_name_exists_and_none_is_missing():
    public = {
        name for name, value in vars(voxswap_client).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(voxswap_client.__all__)
    assert list(voxswap_client.__all__) == sorted(voxswap_client.__all__, key=_ruffs_order)


def _ruffs_order(name: str) -> tuple[int, str]:
    """Constants, then classes."""
    return (0 if name.isupper() else 1, name)


def test_every_error_is_exported():
    tree = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.VoxswapError) and not name.startswith("_")
    }
    assert tree <= set(voxswap_client.__all__)


def test_the_two_clients_have_the_same_methods():
    def methods(kind: type) -> dict[str, list[str]]:
        found = {}
        for name, value in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_"):
                found[name] = list(inspect.signature(value).parameters)
        return found

    assert methods(voxswap_client.Client) == methods(voxswap_client.AsyncClient)


def test_the_client_brings_no_torch_and_no_server():
    code = "import sys, voxswap_client, voxswap_client.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    unwelcome = ("torch", "transformers", "voxswap_server", "voxswap_store", "numpy")
    assert [name for name in loaded if name.split(".")[0] in unwelcome] == []


def test_the_clients_have_a_method_for_every_rpc():
    rpcs = {
        method.name
        for module in (model_admin_service_pb2, speech_service_pb2, voice_service_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    names = {"SynthesizeStream": "stream", "StreamingSynthesize": "live", "GetCacheStats": "cache_stats"}
    for rpc in rpcs:
        ours = names.get(rpc) or "".join(f"_{c.lower()}" if c.isupper() else c for c in rpc).lstrip("_")
        assert hasattr(voxswap_client.Client, ours), rpc
