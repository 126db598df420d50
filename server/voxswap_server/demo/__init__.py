"""What `voxswap demo` speaks with where nobody has a voice yet."""
