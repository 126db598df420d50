"""Other servers of the same models, measured beside ours in one run: `python -m bench.peers --help`."""
