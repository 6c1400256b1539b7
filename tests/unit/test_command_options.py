from __future__ import annotations

import pytest

from bursar import errors
from bursar.cli import options
from bursar.providers import registry


def test_settings_are_read_as_their_types() -> None:
    told = ["url=http://127.0.0.1:1", "seed=7", "durable=false", "timeouts=0.05", "store=12"]
    assert options.read_settings("sandbox", told) == {
        "url": "http://127.0.0.1:1",
        "seed": 7,
        "durable": False,
        "timeouts": 0.05,
        "store": "12",
    }


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        pytest.param("seed", "--set: 'seed' must be NAME=VALUE", id="no value"),
        pytest.param(
            "webhook_secret=x",
            "webhook_secret: must be set in the environment or the secrets directory: it is a secret",
            id="secret",
        ),
    ],
)
def test_what_is_no_setting_is_refused(pair: str, told: str) -> None:
    with pytest.raises(errors.ValidationError) as refused:
        options.read_settings("sandbox", [pair])
    assert str(refused.value) == told


def test_what_is_no_number_stays_text_and_does_not_fit() -> None:
    config = options.read_settings("sandbox", ["timeouts=NaN"])
    assert config == {"timeouts": "NaN"}
    with pytest.raises(errors.ValidationError) as refused:
        registry.parse_config(registry.get_class("sandbox"), config)
    assert str(refused.value) == "timeouts: must be float, not str"
