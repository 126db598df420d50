"""Which shared networks a request will want, leased before it holds anything else.

Whoever holds a voice and waits for a network keeps the room that the network waits for; where memory is short, a few
such requests would wait for each other. So the networks come first and the voice last, and whoever has a voice never
waits. It is a guess: what it misses is leased when it is needed, what it asks for in vain costs only room. Here it is
seen, too, that the store has another network by now than memory has. Knows nothing of weights.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from voxswap_server.domain import Language, SynthesisRequest
from voxswap_server.engine.residency.contract import network_id
from voxswap_server.engine.residency.manager import ResidencyManager
from voxswap_server.engine.stored_networks import POLYPHONES, SUPER_SAMPLER, network_address
from voxswap_server.engine.voice import Voice
from voxswap_server.errors import AssetMissing, VoxswapError
from voxswap_server.nn.specs import VersionSpec, spec_of
from voxswap_server.text.frontend import TextFrontend
from voxswap_server.text.languages import upstream_code
from voxswap_store.catalogue import Catalogue
from voxswap_store.content import content_encoder_of


class Foresight:
    """Looks at requests before they begin.

    Args:
        catalogue: of the voices that they name.
        frontend: tells which languages a text is in.
        executor: where it does.
        residency: who has the networks.
    """

    def __init__(
        self, catalogue: Catalogue, frontend: TextFrontend, executor: Executor, residency: ResidencyManager[Voice]
    ) -> None:
        self._catalogue = catalogue
        self._frontend = frontend
        self._executor = executor
        self._residency = residency

    @asynccontextmanager
    async def networks(self, request: SynthesisRequest) -> AsyncIterator[None]:
        """Keeps what the request will want in memory until the block ends; what is not installed is passed over.

        Its voice is loaded meanwhile, where there is room for both.

        Raises:
            CapacityError: there is no room for it.
            AssetMissing: it asks for super sampling, and the network for that is not installed.
        """
        async with AsyncExitStack() as held:
            held.enter_context(self._residency.ahead(request.voice_id))
            wanted = await asyncio.get_running_loop().run_in_executor(self._executor, self.wanted, request)
            for name, address in wanted.items():  # in one order for all, so that no two wait for what the other one has
                with _passed_over(name):
                    await self._lease(name, address, held)
            yield

    async def _lease(self, name: str, address: str, held: AsyncExitStack) -> None:
        identity = network_id(name)
        async with AsyncExitStack() as own:
            lease = await own.enter_async_context(self._residency.lease(identity))
            if lease.revision == address:
                held.push_async_exit(own.pop_all())
                return
        # The store has another one by now. The old one serves whoever has it to their end, and makes room.
        await self._residency.unload_voice(identity)
        await held.enter_async_context(self._residency.lease(identity))

    def wanted(self, request: SynthesisRequest) -> Mapping[str, str]:
        """Networks by name, each with its address in the store; those that are not installed are left out.

        A request that is wrong wants none: it will be told so where that is found out.

        Raises:
            AssetMissing: as `networks`.
        """
        addresses = {}
        for name in self._names(request):
            with _passed_over(name):
                addresses[name] = network_address(self._catalogue.root, name)
        return addresses

    def _names(self, request: SynthesisRequest) -> tuple[str, ...]:
        try:
            entry = self._catalogue.get(request.voice_id)
            manifest = entry.manifest
            spec = spec_of(manifest.version)
            audio = request.prompt is not None or (manifest.files.reference and manifest.files.prompt is None)
            names = [content_encoder_of(entry), *(["eres2net"] if spec.speaker_vector else [])] if audio else []
            transcript = (manifest.prompt.transcript, manifest.prompt.spoken)
            if request.prompt is not None:
                transcript = (request.prompt.transcript, request.prompt.language)
            if any(self._chinese(*text, spec) for text in (transcript, (request.text, request.language))):
                names += ["bert", POLYPHONES]
            if request.super_sampling and spec.super_sampled_hz is not None:
                names.append(SUPER_SAMPLER)
        except VoxswapError:
            return ()
        return tuple(names)

    def _chinese(self, text: str, language: Language, spec: VersionSpec) -> bool:
        return bool(text.strip()) and self._frontend.speaks_chinese(text, upstream_code(language, spec.symbols))


@contextmanager
def _passed_over(name: str) -> Iterator[None]:
    """Goes on without a network that is missing: whether the request can do without is decided where it is used.

    Raises:
        AssetMissing: it is the super-sampler. Nothing stands in for it, so no stream should begin.
    """
    try:
        yield
    except AssetMissing:
        if name == SUPER_SAMPLER:
            raise
