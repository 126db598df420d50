"""One step of the flow of v3 and v4, part by part, and whether chunks that go through it together cost less each.

`python -m bench.flow [--rounds N] [--threads N]` prints a table. Knows nothing of voices: the network has the widths of
the released v3 model, random weights and two of its blocks, for all are alike.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from voxswap_server.bench.lora import RELEASED
from voxswap_server.bench.timing import interleaved, ratio, timed
from voxswap_server.nn.dit import Dit, DitConfig, Modulation, Surroundings
from voxswap_server.nn.products import attention, linear

_BLOCKS = 2
_CHUNKS = ((934, 468), (528, 468))
"""Frames of a chunk and of the prompt in it: upstream's longest, and a short rest."""
_TOGETHER = (2, 4)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Chunks of one length, all of one voice."""

    net: Dit
    around: Surroundings
    modulation: Modulation
    state: Tensor

    @classmethod
    def of(cls, net: Dit, rows: int, frames: int, known: int) -> "Chunk":
        config = net.config
        prompt = torch.zeros(rows, frames, config.bands)
        around = net.surroundings(torch.randn(rows, frames, config.condition_width), prompt, known)
        return cls(net, around, net.modulations(1), torch.randn(rows, frames - known, config.bands))

    def step(self) -> Tensor:
        velocity: Tensor = self.net(self.state, self.around, self.modulation, 0)
        return velocity


def libraries(config: DitConfig, frames: int) -> Mapping[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]]:
    """The parts of a block: by PyTorch's own way, and as the network computes them."""
    width, inner, heads = config.width, config.feed_forward_width, config.width // config.head_width
    x, y = torch.randn(1, frames, width), torch.randn(1, frames, inner)
    qkv, wide, narrow = (torch.randn(*shape) * 0.02 for shape in ((3 * width, width), (inner, width), (width, inner)))
    q, k, v = (torch.randn(1, heads, frames, config.head_width) for _ in range(3))
    return {
        "query, key and value": (lambda: F.linear(x, qkv), lambda: linear(x, qkv)),
        "feed-forward, wide": (
            lambda: F.gelu(F.linear(x, wide), approximate="tanh"),
            lambda: linear(x, wide, gelu=True),
        ),
        "feed-forward, narrow": (lambda: F.linear(y, narrow), lambda: linear(y, narrow)),
        "attention": (
            lambda: F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2),
            lambda: attention(q, k, v, frames),
        ),
    }


def network(config: DitConfig) -> Dit:
    """With random weights."""
    net = Dit(config).requires_grad_(requires_grad=False).eval()
    random = torch.Generator().manual_seed(1)
    for part in net.parameters():
        part.copy_(torch.randn(part.shape, generator=random) * 0.02)
    return net


def _compared(work: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> list[str]:
    """Lines of the table; the first piece of work is the reference of the others."""
    found = interleaved({name: timed(call, 0, clock) for name, call in work.items()}, rounds)
    reference = next(iter(found.values()))
    return [
        f"| {name} | {1e3 * series.best('lower'):.1f} | {ratio(series, reference, 'lower').best:.2f} |"
        for name, series in found.items()
    ]


@torch.inference_mode()
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.flow", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="1: measured in processor time, else by the clock")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    sys.stdout.write("| | best, ms | × as good |\n|---|---|---|\n")
    for part, (theirs, ours) in libraries(RELEASED, _CHUNKS[0][0]).items():
        lines = _compared({f"{part}, PyTorch": theirs, f"{part}, here": ours}, options.rounds, clock)
        sys.stdout.write("\n".join(lines) + "\n")
    net = network(replace(RELEASED, depth=_BLOCKS))
    for frames, known in _CHUNKS:
        alone = Chunk.of(net, 1, frames, known)
        for rows in _TOGETHER:
            together = Chunk.of(net, rows, frames, known)
            work: dict[str, Callable[[], object]] = {
                f"{_BLOCKS} blocks, {frames} frames, {rows} one after another": partial(_repeated, alone.step, rows),
                f"{rows} together": together.step,
            }
            sys.stdout.write("\n".join(_compared(work, options.rounds, clock)) + "\n")
    return 0


def _repeated(call: Callable[[], object], times: int) -> None:
    for _ in range(times):
        call()


if __name__ == "__main__":
    raise SystemExit(main())
