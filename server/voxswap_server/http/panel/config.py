"""Settings of panel sessions."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PanelConfig:
    default_voice: str = ""
    """Who speaks in a session where nobody chose; "" refuses lines until somebody does."""
    sample_rate_hz: int = 48000
    """Of all audio of a session, whoever speaks."""
    ahead_s: float = 0.3
    """Audio that is sent ahead of what is heard: the less, the sooner a switch; the more, the fewer gaps."""
    max_sessions: int = 16
    """One more is refused."""
    idle_s: float = 600.0
    """A session that nobody watched, and that said nothing, for so long is forgotten."""
    max_listeners: int = 32
    """WebSockets of one session."""
    max_queue: int = 50
    """Lines that wait; one more pushes the oldest out."""
    max_text_characters: int = 500
    """Of one line."""
    duplicate_s: float = 30.0
    """A line that says the same as one before, within this time, is refused; 0 lets it through."""
    user_lines: int = 5
    """Lines that one user may say within `user_s`."""
    user_s: float = 30.0
