"""Reference audio that old clients name by path: configured files, uploads, data URIs.

Knows nothing of audio. A path that a client sends is looked up in the configured table and never opened.
"""

import asyncio
import base64
import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from voxswap_server.errors import AssetMissing, Overloaded, RequestError
from voxswap_server.http.api_v2.config import ApiV2Config
from voxswap_server.http.api_v2.paths import find, listed

UPLOAD_PREFIX = "ref_"


class UnknownReference(RequestError):
    """No configured file, upload or data URI goes by this name."""

    reason = "UNKNOWN_REFERENCE"


@dataclass(frozen=True, slots=True)
class _Upload:
    audio: bytes
    until_s: float


class References:
    """Looks reference audio up.

    Args:
        config: the table of files, and bounds.
        clock: monotonic seconds.
    """

    def __init__(self, config: ApiV2Config, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._uploads: dict[Hashable, OrderedDict[str, _Upload]] = {}

    def keep(self, caller: Hashable, audio: bytes) -> str:
        """Keeps a clip for a caller, for as long as its choices are kept, and returns its name.

        Raises:
            RequestError: it is empty, or too long.
            Overloaded: all callers together keep as much as they may.
        """
        if not audio:
            raise RequestError("the body is the audio; it is empty")
        self._require_short(len(audio), "")
        self._sweep()
        name = UPLOAD_PREFIX + hashlib.sha256(audio).hexdigest()[:32]
        own = self._uploads.setdefault(caller, OrderedDict())
        own.pop(name, None)
        while len(own) >= self._config.max_uploads:
            own.popitem(last=False)
        held = sum(len(one.audio) for clips in self._uploads.values() for one in clips.values())
        if held + len(audio) > self._config.max_upload_bytes:
            raise Overloaded("there is no room for another reference now", retry_after_s=60.0)
        own[name] = _Upload(audio, self._clock() + self._config.client_ttl_s)
        return name

    async def audio(self, caller: Hashable, name: str, field: str) -> bytes:
        """The clip that a name stands for.

        Raises:
            UnknownReference: names what could be said instead.
            RequestError: a data URI that is none, or too long.
            AssetMissing: the configured file is not there.
        """
        if name.startswith("data:"):
            return self._from_data_uri(name, field)
        self._sweep()
        kept = self._uploads.get(caller)
        if kept and name in kept:
            return kept[name].audio
        file = find(self._config.references, name)
        if file is None:
            raise UnknownReference(
                f"there is no reference {name[:200]!r} here; configured: {listed(self._config.references)}; or the id "
                "of a voice, for its own reference, a name that POST /v1/references gave, or a data: URI",
                field=field,
            )
        try:
            return await asyncio.to_thread(file.read_bytes)
        except OSError:
            raise AssetMissing(
                f"reference {name[:200]!r}", "its file is not there; the operator must mend it"
            ) from None

    def _from_data_uri(self, uri: str, field: str) -> bytes:
        head, comma, data = uri.partition(",")
        if not comma:
            raise RequestError("a data: URI needs a comma before its data", field=field)
        self._require_short(len(data) * 3 // 4, field)
        raw = unquote_to_bytes(data)
        if not head.endswith(";base64"):
            return raw
        try:
            return base64.b64decode(raw, validate=True)
        except binascii.Error:
            raise RequestError("the data: URI is not base64", field=field) from None

    def _require_short(self, size_bytes: int, field: str) -> None:
        limit = self._config.max_reference_bytes
        if size_bytes > limit:
            raise RequestError(f"the reference has {size_bytes} bytes; at most {limit}", field=field)

    def _sweep(self) -> None:
        now_s = self._clock()
        for caller, clips in list(self._uploads.items()):
            for name in [name for name, one in clips.items() if one.until_s <= now_s]:
                del clips[name]
            if not clips:
                del self._uploads[caller]
