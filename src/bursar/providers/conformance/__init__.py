"""
The conformance suite: runs the promises of the provider interface against any provider.

A provider declares in a class attribute `conformance = Conformance(...)` which payment methods of
its test account approve, decline or fail. A case that needs a capability or test method that the
provider lacks is reported as not supported, never as passed.
"""

from bursar.providers.conformance import faults, objects, operations
from bursar.providers.conformance.suite import (
    Case,
    CaseResult,
    Conformance,
    Verdict,
    cases,
    conformance_of,
    run_case,
    run_suite,
)

__all__ = [
    "Case",
    "CaseResult",
    "Conformance",
    "Verdict",
    "cases",
    "conformance_of",
    "faults",
    "objects",
    "operations",
    "run_case",
    "run_suite",
]
