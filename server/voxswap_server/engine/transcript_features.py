"""BERT's features of transcripts, kept by content: a voice's own transcript is read for every request.

Knows nothing of the front-end or of how features are joined. Runs on the device thread.
"""

from collections.abc import Callable, Generator
from concurrent.futures import Executor
from functools import partial
from typing import Any

from torch import Tensor

from voxswap_server.engine.addressed import NetworkLeases, OtherNetwork, computed_by
from voxswap_server.engine.conditioning import ConditioningCache, Key, ValueRoutine
from voxswap_server.engine.job import Await, DeviceCall, Work
from voxswap_server.engine.prompt_keys import Ground
from voxswap_server.engine.stored_prompt import on_host
from voxswap_server.nn.bert import TextEncoder
from voxswap_server.text.utterances import Utterance

Join = Callable[[TextEncoder, Utterance], Tensor]
"""Features (bert_dim, P) of an utterance, in host memory."""


class TranscriptFeatures:
    """Features of transcripts.

    Args:
        cache: keeps them.
        networks: leases "bert".
        address_of: content address of a shared network as the store has it now; raises `AssetMissing`.
        executor: where that is asked.
        ground: what they depend on beside the network and the transcript.
    """

    def __init__(
        self,
        cache: ConditioningCache,
        networks: NetworkLeases,
        address_of: Callable[[str], str],
        executor: Executor,
        ground: Ground,
    ) -> None:
        self._cache = cache
        self._networks = networks
        self._address_of = address_of
        self._executor = executor
        self._ground = ground

    def of(self, transcript: Utterance, join: Join) -> Generator[Work, Any, Tensor]:
        """Found, or made and kept.

        Raises:
            AssetMissing: BERT is not installed.
        """
        address = yield Await(self._executor.submit(self._address_of, "bert"))
        while True:
            try:
                kept = yield from self._cache.value(
                    self._key(transcript, address), partial(self._made, transcript, join, address)
                )
            except OtherNetwork as other:
                address = other.address
            else:
                return kept["bert"]

    def _key(self, transcript: Utterance, address: str) -> Key:
        """What is read, and how it is spread over phones; not which phones they are."""
        runs = [
            [run.language, run.norm_text, len(run.phones), run.word2ph and list(run.word2ph)] for run in transcript.runs
        ]
        return Key.of("bert", ground=self._ground.device, network=address, runs=runs)

    def _made(self, transcript: Utterance, join: Join, address: str) -> ValueRoutine:
        def call(encoder: TextEncoder) -> DeviceCall:
            return DeviceCall("bert", _run, partial(join, encoder, transcript))

        features: Tensor = yield from computed_by(self._networks, "bert", address, call)
        return {"bert": features}


def _run(calls: list[Callable[[], Tensor]]) -> list[Tensor]:
    return [on_host(call()) for call in calls]
