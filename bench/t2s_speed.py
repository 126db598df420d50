"""How fast T2S is at the released size: CPU time of a step by rows in the batch, of a prefill by length, of a draw.

Weights are random: speed does not depend on them. Variants are taken in turn and the best of several rounds counts, so
that other work on the machine disturbs little; CPU time of one thread says most on a shared machine.

    python bench/t2s_speed.py --threads 1
"""

import argparse
import time
from collections.abc import Callable

import torch

from voxswap_server.nn.noise import PhiloxNoise
from voxswap_server.nn.sampling import SamplerState, Sampling, draw
from voxswap_server.nn.t2s import T2S, KVCache, PrefillRow, T2SConfig, tensor_shapes

RELEASED = T2SConfig(
    hidden_dim=512,
    heads=16,
    layers=24,
    ffn_dim=2048,
    vocab_size=1025,
    phoneme_vocab_size=732,
    eos=1024,
    bert_dim=1024,
    max_s=54.0,
)
CONTEXT_TOKENS = 250
ROWS = (1, 2, 4, 8, 16)
PREFIXES = (150, 250, 400)


def random_network() -> T2S:
    generator = torch.Generator().manual_seed(0)
    shapes = tensor_shapes(RELEASED).items()
    return T2S.from_tensors(RELEASED, {name: torch.randn(shape, generator=generator) * 0.02 for name, shape in shapes})


def filled_cache(net: T2S) -> KVCache:
    cache = net.new_cache(CONTEXT_TOKENS, 100)
    cache.storage.zero_()
    cache.length, cache.text_tokens = CONTEXT_TOKENS, CONTEXT_TOKENS // 2
    return cache


def step(net: T2S, rows: int) -> Callable[[], object]:
    caches = [filled_cache(net) for _ in range(rows)]
    tokens = torch.zeros(rows, dtype=torch.long)

    def once() -> None:
        net.step(tokens, caches)
        for cache in caches:
            cache.length = CONTEXT_TOKENS

    return once


def prefill(net: T2S, length: int) -> Callable[[], object]:
    phones, prompt = (torch.zeros(part, dtype=torch.long) for part in (length // 2, length - length // 2))
    row = PrefillRow(phones, None, prompt, net.new_cache(length, 1))
    return lambda: net.prefill([row])


def one_draw(params: Sampling) -> Callable[[], object]:
    logits, noise = torch.randn(RELEASED.vocab_size) * 3, PhiloxNoise(1)
    state = SamplerState.from_prompt(torch.arange(100), RELEASED.vocab_size)

    def once() -> None:
        state.step = 20
        draw(logits, state, params, noise)

    return once


def best_ms(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    best = dict.fromkeys(work, float("inf"))
    for _ in range(rounds):
        for name, call in work.items():
            begin = time.process_time()
            call()
            best[name] = min(best[name], (time.process_time() - begin) * 1e3)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    net = random_network()
    work = {f"step, {rows} rows": step(net, rows) for rows in ROWS}
    work |= {f"prefill, {length} positions": prefill(net, length) for length in PREFIXES}
    work |= {"draw, top_k 15": one_draw(Sampling()), "draw, top_p 0.9": one_draw(Sampling(top_p=0.9))}
    print(f"CPU ms, {options.threads} threads, {CONTEXT_TOKENS} positions of context, best of {options.rounds}")
    for name, ms in best_ms(work, options.rounds).items():
        rows = int(name.split()[1]) if name.startswith("step") else 0
        print(f"{name:<24} {ms:9.2f}" + (f"  {rows * 1000 / ms:7.0f} tokens/s of CPU time" if rows else ""))


if __name__ == "__main__":
    main()
