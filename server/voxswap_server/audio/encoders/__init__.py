"""One family of encodings per file; `voxswap_server.audio.encode` is the table that names them."""
