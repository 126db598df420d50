"""Devices: which there are, and what their exhaustion looks like."""

import pytest
import torch

from voxswap_server.engine.device import (
    DeviceConfig,
    default_budgets,
    is_exhausted,
    open_device,
    out_of_memory,
    usable_cores,
)
from voxswap_server.errors import OutOfMemory, RequestError


def test_the_cpu_is_always_there() -> None:
    device = open_device(DeviceConfig("cpu", "bf16", threads=3))
    assert (device.device.type, device.dtype, device.threads) == ("cpu", torch.bfloat16, 3)
    assert device.memory_bytes() == {}
    assert open_device(DeviceConfig("cpu")).threads == usable_cores()


@pytest.mark.parametrize(("name", "told"), [("gpu", "'gpu'"), ("meta", "'meta'"), ("cuda:99", "")])
def test_a_device_that_is_not_there_is_refused_by_name(name: str, told: str) -> None:
    if name.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(RequestError, match=f"device .*{told or name}"):
        open_device(DeviceConfig(name))


def test_auto_is_a_device_that_is_there() -> None:
    assert open_device(DeviceConfig()).device.type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_device_thread_runs_without_gradients() -> None:
    seen: list[bool] = []
    open_device(DeviceConfig("cpu", threads=1)).run(lambda: seen.append(torch.is_inference_mode_enabled()))
    assert seen == [True]


def test_a_cpu_gives_voices_half_of_its_memory_and_has_one_tier() -> None:
    on_device, on_host = default_budgets(open_device(DeviceConfig("cpu")))
    assert on_device > 2**28
    assert on_host == 0


def test_exhaustion_is_told_from_bugs() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    for error in (MemoryError(), torch.OutOfMemoryError("no room"), caught.value):
        assert is_exhausted(error)
        assert isinstance(out_of_memory(error), OutOfMemory)
    for error in (RuntimeError("shapes do not match"), ValueError("memory")):
        assert not is_exhausted(error)
        assert out_of_memory(error) is None
