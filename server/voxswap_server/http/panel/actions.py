"""What may be asked of a session, by name: the same over plain HTTP, for buttons and bots, and over its WebSocket.

Knows nothing of how it was asked.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AliasChoices, Field

from voxswap_server.domain import VoiceLibrary
from voxswap_server.errors import RequestError
from voxswap_server.http.bodies import Asked, from_mapping, require_id
from voxswap_server.http.panel.session import PanelSession, SwitchAt

VoiceId = Annotated[str, Field(validation_alias=AliasChoices("voice", "voice_id"))]


class Nothing(Asked):
    """An action that needs nothing more."""


class SwitchAsked(Asked):
    voice: VoiceId
    at: SwitchAt = SwitchAt.NOW


class SayAsked(Asked):
    text: str
    voice: VoiceId = ""
    user: Annotated[str, Field(max_length=100)] = ""


class ModerateAsked(Asked):
    on: bool = True


class LineAsked(Asked):
    line: int


Act = Callable[[PanelSession, Any, VoiceLibrary], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Action:
    takes: type[Asked]
    act: Act


async def _switch(session: PanelSession, asked: SwitchAsked, library: VoiceLibrary) -> dict[str, Any]:
    voice = await library.get_voice(require_id(asked.voice, "voice"))
    session.switch(voice.voice_id, asked.at)
    return {}


async def _say(session: PanelSession, asked: SayAsked, library: VoiceLibrary) -> dict[str, Any]:
    if asked.voice:
        await library.get_voice(require_id(asked.voice, "voice"))
    return {"line": session.say(asked.text, user=asked.user, voice_id=asked.voice).number}


def _plain(act: Callable[[PanelSession, Any], None]) -> Act:
    async def acting(session: PanelSession, asked: Any, library: VoiceLibrary) -> dict[str, Any]:
        del library
        act(session, asked)
        return {}

    return acting


ACTIONS: Mapping[str, Action] = {
    "switch": Action(SwitchAsked, _switch),
    "say": Action(SayAsked, _say),
    "skip": Action(Nothing, _plain(lambda session, _: session.skip())),
    "panic": Action(Nothing, _plain(lambda session, _: session.panic())),
    "pause": Action(Nothing, _plain(lambda session, _: session.pause())),
    "resume": Action(Nothing, _plain(lambda session, _: session.resume())),
    "clear": Action(Nothing, _plain(lambda session, _: session.clear())),
    "approval": Action(ModerateAsked, _plain(lambda session, asked: session.moderate(approval=asked.on))),
    "approve": Action(LineAsked, _plain(lambda session, asked: session.approve(asked.line))),
    "remove": Action(LineAsked, _plain(lambda session, asked: session.remove(asked.line))),
    "state": Action(Nothing, _plain(lambda *_: None)),
}


async def act(session: PanelSession, name: str, given: Mapping[str, Any], library: VoiceLibrary) -> dict[str, Any]:
    """Does what is asked, and answers with the state that follows.

    Raises:
        VoxswapError: it cannot be done.
    """
    action = ACTIONS.get(name)
    if action is None:
        raise RequestError(f"there is no action {name[:80]!r}; actions: {', '.join(ACTIONS)}", field="action")
    more = await action.act(session, from_mapping(action.takes, given), library)
    return {"ok": True, **more, "state": session.state()}
