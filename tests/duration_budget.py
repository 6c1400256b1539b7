"""A pytest plug-in: how long each part of the tests took, beside the time it may take."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

#: Seconds of work a part may take, summed over the processes that share it.
BUDGET_SECONDS = {"unit": 45, "contracts": 30, "flows": 120}

_seconds: defaultdict[str, float] = defaultdict(float)
_tests: Counter[str] = Counter()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add one phase of one test to its part, the folder under tests/."""
    folders = report.nodeid.split("::")[0].split("/")
    part = folders[1] if len(folders) > 2 else "others"
    _seconds[part] += report.duration
    _tests[part] += report.when == "call"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line a part; being over the budget is told, not failed: machines differ."""
    if not _tests:
        return
    terminalreporter.section("time by part")
    for part in sorted(_seconds):
        budget = BUDGET_SECONDS.get(part)
        over = "  OVER" if budget is not None and _seconds[part] > budget else ""
        allowed = f"of {budget:>4} s" if budget is not None else "no budget"
        terminalreporter.write_line(
            f"{part:<10} {_tests[part]:>5} tests  {_seconds[part]:>6.1f} s {allowed}{over}"
        )
