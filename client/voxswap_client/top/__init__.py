"""What `voxswap top` shows: a server's numbers, its residents and what changed of them, redrawn every second."""
