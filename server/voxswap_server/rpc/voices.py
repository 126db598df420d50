"""VoiceService. Knows nothing of the store, of checkpoints or of embeddings."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from voxswap.v1 import voice_service_pb2, voice_service_pb2_grpc
from voxswap_server.domain import SpeakerEmbedder, VoiceLibrary
from voxswap_server.errors import Overloaded
from voxswap_server.logs import annotate
from voxswap_server.rpc.calls import Context
from voxswap_server.rpc.convert import voices
from voxswap_server.rpc.uploads import UploadLimits, receive_upload


class VoiceServicer(voice_service_pb2_grpc.VoiceServiceServicer):
    """The voices of the store.

    Args:
        library: the store, or a fake of it.
        embedder: who is heard.
        limits: of one upload.
        max_uploads: how many at once.
    """

    def __init__(
        self, library: VoiceLibrary, embedder: SpeakerEmbedder, limits: UploadLimits, max_uploads: int
    ) -> None:
        self._library = library
        self._embedder = embedder
        self._limits = limits
        self._max_uploads = max_uploads
        self._uploads = 0

    @contextmanager
    def _upload_slot(self) -> Iterator[None]:
        """Uploads are large, so only a few may be under way."""
        if self._uploads >= self._max_uploads:
            raise Overloaded(f"{self._uploads} voices are being uploaded, which is the limit", retry_after_s=5.0)
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    async def ListVoices(
        self, request: voice_service_pb2.ListVoicesRequest, context: Context
    ) -> voice_service_pb2.ListVoicesResponse:
        return voices.to_page(request, await self._library.list_voices())

    async def GetVoice(
        self, request: voice_service_pb2.GetVoiceRequest, context: Context
    ) -> voice_service_pb2.GetVoiceResponse:
        voice = await self._library.get_voice(voices.to_voice_id(request.voice_id))
        return voice_service_pb2.GetVoiceResponse(voice=voices.from_voice(voice))

    async def CreateVoice(
        self, request_iterator: AsyncIterator[voice_service_pb2.CreateVoiceRequest], context: Context
    ) -> voice_service_pb2.CreateVoiceResponse:
        with self._upload_slot():
            upload = await receive_upload(request_iterator, self._limits)
            annotate(voice=upload.voice_id)
            voice = await self._library.create_voice(upload)
        return voice_service_pb2.CreateVoiceResponse(voice=voices.from_voice(voice))

    async def UpdateVoice(
        self, request: voice_service_pb2.UpdateVoiceRequest, context: Context
    ) -> voice_service_pb2.UpdateVoiceResponse:
        voice_id, changes = voices.to_changes(request)
        voice = await self._library.update_voice(voice_id, changes)
        return voice_service_pb2.UpdateVoiceResponse(voice=voices.from_voice(voice))

    async def DeleteVoice(
        self, request: voice_service_pb2.DeleteVoiceRequest, context: Context
    ) -> voice_service_pb2.DeleteVoiceResponse:
        voice_id = voices.to_voice_id(request.voice_id)
        await self._library.delete_voice(voice_id)
        return voice_service_pb2.DeleteVoiceResponse()

    async def EmbedSpeaker(
        self, request: voice_service_pb2.EmbedSpeakerRequest, context: Context
    ) -> voice_service_pb2.EmbedSpeakerResponse:
        embedding = await self._embedder.embed(voices.to_audio("audio_content", request.audio_content))
        return voice_service_pb2.EmbedSpeakerResponse(embedding=embedding)

    async def CompareSpeakers(
        self, request: voice_service_pb2.CompareSpeakersRequest, context: Context
    ) -> voice_service_pb2.CompareSpeakersResponse:
        similarity = await self._embedder.compare(
            voices.to_audio("first_audio_content", request.first_audio_content),
            voices.to_audio("second_audio_content", request.second_audio_content),
        )
        return voice_service_pb2.CompareSpeakersResponse(similarity=similarity)

    async def FindVoices(
        self, request: voice_service_pb2.FindVoicesRequest, context: Context
    ) -> voice_service_pb2.FindVoicesResponse:
        audio = voices.to_audio("audio_content", request.audio_content)
        return voices.from_matches(await self._embedder.find_voices(audio, limit=voices.to_limit(request.limit)))
