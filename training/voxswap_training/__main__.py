"""Command line: one stage a command. `python -m voxswap_training --help`."""

from voxswap_training.cli import main

if __name__ == "__main__":
    main()
