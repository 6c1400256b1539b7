"""`python -m campaigns`: run the campaigns and print the results; exit status 1 on a failure."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

NAMES = ["charge", "stripe"]


def main() -> int:
    """Parse the command line and run the campaigns. Returns the exit status."""
    began = time.monotonic()
    arguments = _parser().parse_args()
    # Before importing Bursar, which reads its settings on import.
    for name in [name for name in os.environ if name.startswith("BURSAR_")]:
        del os.environ[name]
    home = tempfile.mkdtemp(prefix="bursar-campaign-home-")
    os.environ["BURSAR_HOME"] = home
    os.environ["DJANGO_SETTINGS_MODULE"] = "bursar.settings"
    try:
        import django

        django.setup()
        return _play(arguments, began)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _play(arguments: argparse.Namespace, began: float) -> int:
    from campaigns import charge, report

    size = {"tiny": charge.TINY, "quick": charge.QUICK, "release": charge.RELEASE}[arguments.size]
    seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    names, planned = arguments.campaigns or NAMES, []
    if "charge" in names and not arguments.mutants_only:
        if arguments.database in {None, "sqlite"}:
            planned += charge.scenarios(size, seed=seed, database="sqlite")
        if arguments.database == "postgres":
            planned += charge.scenarios(size, seed=seed, database="postgres")
        elif arguments.database is None:
            planned += charge.on_postgres(size, seed=seed)
    if "charge" in names and not arguments.no_mutants and size.mutant_kills_max:
        planned += charge.mutant_scenarios(size, seed=seed)
    if "stripe" in names and arguments.database in {None, "sqlite"}:
        planned += [
            one
            for one in charge.at_stripe(size, seed=seed)
            if not (arguments.mutants_only if not one.mutant else arguments.no_mutants)
        ]
    report.print_start(planned, seed=seed, size=arguments.size)
    outcomes = charge.run(planned, at_once=size.at_once, on_outcome=report.print_outcome)
    summary = report.summary(
        outcomes, seed=seed, size=arguments.size, seconds=time.monotonic() - began
    )
    report.print_summary(outcomes, summary)
    if arguments.json is not None:
        report.write(arguments.json, outcomes, summary)
    return 0 if summary["passed"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/campaign", description=__doc__)
    parser.add_argument(
        "campaigns",
        nargs="*",
        choices=[*NAMES, []],
        help=f"campaigns to run: {', '.join(NAMES)} (default: all)",
    )
    size = parser.add_mutually_exclusive_group()
    for name, words in (
        ("tiny", "a few kills and no mutants, to test the harness"),
        ("quick", "at least 40 kills, within a minute (the default)"),
        ("release", "at least 1,000 kills"),
    ):
        size.add_argument(
            f"--{name}", dest="size", action="store_const", const=name, default="quick", help=words
        )
    parser.add_argument("--seed", type=int, help="repeat the run with this seed")
    mutants = parser.add_mutually_exclusive_group()
    mutants.add_argument("--mutants-only", action="store_true", help="only mutants")
    mutants.add_argument("--no-mutants", action="store_true", help="only the real code")
    parser.add_argument(
        "--database", choices=["sqlite", "postgres"], help="only this database (default: both)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
