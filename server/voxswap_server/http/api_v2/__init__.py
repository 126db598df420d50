"""The HTTP API of GPT-SoVITS's `api_v2.py`, for clients that were written for it. docs/MIGRATING.md is its page."""
