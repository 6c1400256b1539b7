"""`bursar quote`: the example basket by the example rules, and what cannot be priced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bursar import errors
from bursar.cli import output
from bursar.cli.commands import app

EXAMPLES = Path(__file__).parents[2] / "examples/prices"
RULES = ["--rules", str(EXAMPLES / "prices.toml")]


def say(*words: str, told: str = "") -> Result:
    return CliRunner().invoke(app, ["quote", *words], input=told)


def test_the_example_is_explained_as_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.console, "width", 160)
    result = say(str(EXAMPLES / "basket.json"), *RULES, "--on", "2026-11-24")
    assert result.exit_code == 0
    for words in (
        "Fountain pen",
        "Notebooks: 3 for 2",
        "Autumn voucher",
        "Payment fee",
        "19 % S",
        "48.08",
        "discounts 14.90",
        "net 70.76, tax 10.72",
        "total 81.48 EUR",
    ):
        assert words in result.stdout, words


def test_the_example_as_json_after_the_offer_ended() -> None:
    result = say(str(EXAMPLES / "basket.json"), *RULES, "--on", "2027-01-01", "--json")
    told: dict[str, Any] = json.loads(result.stdout)
    assert [each["name"] for each in told["lines"][2]["discounts"]] == ["Autumn voucher"]
    assert told["rounding_mode"] == "sum_by_net_keep_gross"


def test_no_database_and_no_django_are_needed(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if "DJANGO" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "bursar", "quote", str(EXAMPLES / "basket.json"), *RULES, "--json"],
        env=kept | {"BURSAR_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert json.loads(done.stdout)["object"] == "quote"
    assert not list(tmp_path.glob("*.sqlite3"))


def test_a_compound_tax_and_rounding_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.console, "width", 160)
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[rounding]\nmode = "sum_by_net"\n[seller]\ncountry = "CA"\n[[rates]]\ncountry = "CA"\n'
        'category = "standard"\nvalid_from = 2013-01-01\n'
        'components = [{ name = "GST", rate = "5" }, { name = "QST", rate = "9.975" }]\n',
        "utf-8",
    )
    line = {"sku": "a", "unit_price": "0.33", "tax_category": "standard"}
    basket = json.dumps({"currency": "CAD", "lines": [line] * 5})
    result = say("-", "--rules", str(rules), told=basket)
    assert result.exit_code == 0, result.output
    for words in ("GST", "QST", "14.975 %", "rounding  -0.01 of tax"):
        assert words in result.stdout, result.stdout


@pytest.mark.parametrize(
    ("words", "told", "reason"),
    [
        (["none.json"], "", "none.json cannot be read"),
        (["-"], "{", "Input data was truncated"),
        (
            ["-"],
            '{"currency": "EUR", "lines": [{"sku": "x"}]}',
            "no price list has a price for 'x'",
        ),
        (["-", "--rules", "none.toml"], "{}", "none.toml cannot be read"),
    ],
)
def test_what_cannot_be_priced_says_why(words: list[str], told: str, reason: str) -> None:
    result = say(*words, told=told)
    assert isinstance(result.exception, errors.ValidationError)
    assert reason in str(result.exception)
