"""The voice store: import, validate, list. See docs/ARCHITECTURE.md."""
