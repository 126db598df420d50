"""The live stream over a WebSocket: JSON messages, and audio in binary frames. docs/HTTP.md has them all."""
