"""How near a step of one row comes to the speed at which memory can be read: fp32 weights, two threads.

Knows nothing of requests. Whatever else is asked for, this counts by the clock on the wall: what two threads share is
the memory, and no processor's seconds tell of it.
"""

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Final

import torch
from torch import Tensor

from voxswap_server.bench.memory_speed import reading
from voxswap_server.bench.options import Options
from voxswap_server.bench.report import Reference, Row
from voxswap_server.bench.t2s import CONTEXT_TOKENS, step, step_bytes
from voxswap_server.bench.threads import torch_threads
from voxswap_server.bench.timing import SHORT_ROUNDS, Sample, interleaved, timed
from voxswap_server.bench.voices import Workbench, t2s_half
from voxswap_server.engine.device import usable_cores
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.t2s import T2SConfig
from voxswap_server.nn.t2s_backends import Placement, load_t2s
from voxswap_store.converted import Converted
from voxswap_store.layout_t2s import convert_t2s
from voxswap_store.weights import read_weights, write_weights

TITLE: Final = "Bandwidth: a step of one row in fp32, beside reading its weights"
_THREADS: Final = 2


@torch.inference_mode()
def measure(options: Options, bench: Workbench) -> Iterator[Row]:
    """The ratio is the share of the bandwidth: both were measured in the same rounds."""
    threads = min(_THREADS, usable_cores())
    converted = convert_t2s(*t2s_half(bench.size))
    tensors = _read_in_single_precision(converted)
    team = Team(threads)
    net = load_t2s(T2SConfig.from_dict(converted.config), tensors, Placement(torch.device("cpu"), torch.float32, team))
    size_bytes, kept_bytes = step_bytes(net), _kept_bytes(net.config)
    with torch_threads(threads):
        work: Mapping[str, Sample] = {"read": reading(size_bytes, team), "step": timed(step(net, 1))}
        found = interleaved(work, SHORT_ROUNDS * options.rounds)
    read, steps = (found[name].map(lambda s: 1e3 * s) for name in ("read", "step"))
    what = f"step of one row, {threads} thread{'s' if threads > 1 else ''}"
    weights = Reference("reading its weights once", read)
    more = Reference("reading keys and values too", read.map(lambda ms: ms * (1 + kept_bytes / size_bytes)))
    yield Row("bandwidth", what, "ms", steps, reference=weights)
    yield Row("bandwidth", f"{what}, all that it reads", "ms", steps, reference=more)
    speed = found["read"].map(lambda s: size_bytes / s / 1e9)
    yield Row("bandwidth", f"reading memory, {threads} thread{'s' if threads > 1 else ''}", "GB/s", speed, "higher")


def _read_in_single_precision(converted: Converted) -> dict[str, Tensor]:
    """As a server reads the file of a voice into one block, though here everything becomes fp32."""
    file = BytesIO()
    write_weights(file, converted)
    file.seek(0)
    return read_weights(file, dtype=torch.float32).tensors


def _kept_bytes(config: T2SConfig) -> int:
    """Of the keys and values that a step of one row reads."""
    return 2 * config.layers * config.hidden_dim * (CONTEXT_TOKENS + 1) * torch.float32.itemsize
