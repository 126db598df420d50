"""Looks a server's surroundings over before it starts, and says what to do. Changes nothing."""

from voxswap_server.doctor.examination import CHECKS, DEEP, examine
from voxswap_server.doctor.findings import Finding, Severity

__all__ = ["CHECKS", "DEEP", "Finding", "Severity", "examine"]
