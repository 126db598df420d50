"""The engine: residency, scheduling, and the one device thread."""
