"""The stages as commands; every path is an argument. Knows no stage by name."""

import argparse
from collections.abc import Sequence

from voxswap_training import stages_corpus, stages_result, stages_train


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("voxswap_training", description=__doc__)
    stages = parser.add_subparsers(required=True, metavar="stage")
    for group in (stages_corpus, stages_train, stages_result):
        group.add_stages(stages)
    options = parser.parse_args(arguments)
    options.run(options)
