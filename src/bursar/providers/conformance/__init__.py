"""
One suite for every provider: what the interface promises, tried out.

A provider says with which method names its test account approves, declines or fails, in a class
attribute `conformance = Conformance(...)`. What it has no power or no test method for is reported
as not offered, never as passed.
"""

from bursar.providers.conformance import faults, objects, operations
from bursar.providers.conformance.suite import (
    Case,
    CaseResult,
    Conformance,
    Verdict,
    cases,
    methods_of,
    run,
    run_case,
)

__all__ = [
    "Case",
    "CaseResult",
    "Conformance",
    "Verdict",
    "cases",
    "faults",
    "methods_of",
    "objects",
    "operations",
    "run",
    "run_case",
]
