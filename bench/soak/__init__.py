"""Memory over long runs: one stream of text without an end, and thousands of swaps: `python -m bench.soak --help`."""
