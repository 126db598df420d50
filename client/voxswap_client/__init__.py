"""The voxswap client: typed calls, typed errors, no torch."""
