"""Live streams: text comes in pieces, voices change within the stream, the listener may interrupt."""
