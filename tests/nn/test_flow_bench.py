"""What the benchmark of the flow compares makes the same, and as much as it says."""

from dataclasses import replace

import torch

from bench.flow import Chunk, libraries, network
from voxswap_server.bench.lora import RELEASED

SMALL = replace(RELEASED, width=64, depth=2, frequencies=(1.0, 0.1), feed_forward_width=32, condition_width=16)


@torch.inference_mode()
def test_both_ways_of_a_part_make_the_same() -> None:
    for theirs, ours in libraries(SMALL, 70).values():
        torch.testing.assert_close(ours(), theirs(), rtol=0, atol=1e-5)


@torch.inference_mode()
def test_a_step_moves_every_chunk_behind_its_prompt() -> None:
    chunk = Chunk.of(network(SMALL), rows=3, frames=70, known=33)
    assert chunk.step().shape == chunk.state.shape == (3, 37, SMALL.bands)
