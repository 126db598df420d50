"""HTTP and WebSockets: convert, call, convert. Knows nothing of the engine, as `rpc`, its sibling."""
