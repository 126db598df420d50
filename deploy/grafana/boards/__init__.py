"""All dashboards, as tables of rows, plots and queries."""

from boards.live import LIVE
from boards.parts import Board, Plot, Query
from boards.residency import RESIDENCY
from boards.service import SERVICE

BOARDS = (SERVICE, RESIDENCY, LIVE)

__all__ = ["BOARDS", "Board", "Plot", "Query"]
