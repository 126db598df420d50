"""LoRA voices of v3 and v4: what applying the corrections at every step costs, and what merging them would hold.

Knows nothing of voices or files. The network has the widths of the released v3 model and random weights; a few of its
blocks are timed, for all are alike, and the bytes are those of all of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import torch

from voxswap_server.bench.options import Options
from voxswap_server.bench.report import Reference, Row
from voxswap_server.bench.timing import Series, interleaved, timed
from voxswap_server.bench.voices import Workbench
from voxswap_server.nn.dit import Dit, DitConfig, LoraLinear

TITLE: Final = "LoRA: corrections applied on a shared base, or merged into a copy of it"
RANKS: Final = (32, 128)
RELEASED: Final = DitConfig(
    bands=100,
    condition_width=512,
    width=1024,
    depth=22,
    frequencies=tuple(10_000 ** (-step / 32) for step in range(32)),
    feed_forward_width=2048,
    text_blocks=4,
    text_inner_width=1024,
    position_groups=16,
)
_TIMED_BLOCKS: Final = 4
_FRAMES, _QUICK_FRAMES = 934, 200
"""The first: upstream's chunk of ten seconds."""


@torch.inference_mode()
def measure(options: Options, bench: Workbench) -> Iterator[Row]:
    """One step of the flow, merged (as without LoRA) and with corrections of two ranks."""
    del bench
    frames = _QUICK_FRAMES if options.quick else _FRAMES
    nets = {rank: _network(rank) for rank in (0, *RANKS)}
    found = interleaved(
        {str(rank): timed(step(net, frames), clock=options.clock) for rank, net in nets.items()}, options.rounds
    )
    ms = {name: series.map(lambda s: 1e3 * s) for name, series in found.items()}
    what = f"{_TIMED_BLOCKS} of {RELEASED.depth} blocks, {frames} frames"
    yield Row("lora", f"step, merged ({what})", "ms", ms["0"])
    whole, _ = held_bytes(RELEASED)
    yield Row("lora", "network of a merged voice, its own", "MB", _once(whole / 1e6))
    for rank in RANKS:
        yield Row("lora", f"step, rank {rank} applied", "ms", ms[str(rank)], reference=Reference("merged", ms["0"]))
        _, own = held_bytes(replace(RELEASED, lora_rank=rank))
        merged = Reference("merged", _once(whole / 1e6))
        yield Row("lora", f"corrections of rank {rank}, on a shared base", "MB", _once(own / 1e6), reference=merged)


def step(net: Dit, frames: int) -> Callable[[], object]:
    """One velocity of the flow, for one row."""
    config = net.config
    x, prompt = (torch.randn(1, frames, config.bands) for _ in range(2))
    text, modulation = torch.randn(1, frames, config.condition_width), net.modulations(1)
    around = net.surroundings(text, prompt, 0)
    return lambda: net(x, around, modulation, 0)


def held_bytes(config: DitConfig) -> tuple[int, int]:
    """Bytes in fp32 of all that a base has, and of the corrections on it."""
    with torch.device("meta"):
        net = Dit(config)
    own = sum(
        part.nbytes
        for layer in net.modules()
        if isinstance(layer, LoraLinear)
        for part in (layer.down, layer.up)
        if part is not None
    )
    return sum(part.nbytes for part in net.parameters()) - own, own


def _network(rank: int) -> Dit:
    net = Dit(replace(RELEASED, depth=_TIMED_BLOCKS, lora_rank=rank))
    generator = torch.Generator().manual_seed(1)
    for part in net.parameters():
        part.copy_(torch.randn(part.shape, generator=generator) * 0.02)
    return net


def _once(value: float) -> Series:
    return Series((value,))
