from __future__ import annotations

from collections.abc import Iterator, Mapping

from bursar.verify import checks
from tests.conftest import Database
from tests.shop import Shop


def test_what_is_gone_at_the_second_look_was_only_on_its_way() -> None:
    looks = iter([[{"payment": 1}, {"payment": 2}], [{"payment": 2}, {"payment": 3}]])

    def check() -> Iterator[Mapping[str, object]]:
        yield from next(looks)

    assert checks.confirm_failures(check) == ({"payment": 2},)


def test_what_holds_is_looked_at_once() -> None:
    looks = []

    def check() -> Iterator[Mapping[str, object]]:
        looks.append(1)
        return iter(())

    assert checks.confirm_failures(check) == ()
    assert len(looks) == 1


def test_a_query_that_finds_rows_tells_their_columns(database: Database) -> None:
    assert checks.confirm_failures("SELECT 1 AS one, 'x' AS letter") == ({"one": 1, "letter": "x"},)
    assert checks.confirm_failures("SELECT 1 AS one WHERE 1 = 0") == ()


def test_every_sentence_is_checked_and_told_before_it_is(shop: Shop) -> None:
    shop.paid()
    told: list[str] = []

    findings = list(checks.run_checks(told.append))

    assert [finding.invariant for finding in findings] == told
    assert len(told) == len(set(told)) == 25
    assert [finding for finding in findings if not finding.holds] == []
