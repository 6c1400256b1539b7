"""The file of what to watch: taken whole, or refused with the place and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from bursar.dashboard.config import config_file
from bursar.dashboard.config.monitors import HttpMonitorConfig, InvalidMonitorConfig, ValueConfig
from bursar.dashboard.thresholds import FlapDamping, Thresholds

WHOLE = """
[accounts.default]
interval_seconds = 120
measurements."webhook lag".warning_above = 60

[accounts.old]
enabled = false

[apis.rates]
title = "Exchange rates"
group = "Rates"
url = "https://api.example.com/v1/rates?base=EUR"
auth = "bearer"
secret = "RATES_TOKEN"
interval_seconds = 30
stale_after_seconds = 300
stale_level = "warning"
failure_threshold = 1
values = [
    { name = "EUR/USD", path = "rates.USD", unit = "USD", warning_below = 1, critical_below = 0.9 },
    { name = "status", path = "status", expected = "ok" },
]

[certificates.shop]
host = "shop.example.com"
warning_days = 30
"""


def test_a_file_is_read() -> None:
    found = config_file.parse(WHOLE, name="watch.toml")
    assert found.apis == {
        "rates": HttpMonitorConfig(
            title="Exchange rates",
            group="Rates",
            url="https://api.example.com/v1/rates?base=EUR",
            auth="bearer",
            secret="RATES_TOKEN",
            interval_seconds=30,
            stale_after_seconds=300,
            stale_level="warning",
            failure_threshold=1,
            values=(
                ValueConfig(
                    name="EUR/USD",
                    path="rates.USD",
                    unit="USD",
                    warning_below=1,
                    critical_below=0.9,
                ),
                ValueConfig(name="status", path="status", expected="ok"),
            ),
        )
    }
    rates = found.apis["rates"]
    assert rates.flap_damping == FlapDamping(failure_threshold=1, success_threshold=3)
    assert rates.alert_after_seconds == 300.0
    assert rates.values[0].thresholds == Thresholds(warning_below=1, critical_below=0.9)
    assert found.certificates["shop"].port == 443
    assert found.account("old").enabled is False
    assert found.account("europe").interval_seconds == 120
    limits = found.account("europe").measurements["webhook lag"].thresholds
    assert limits == Thresholds(warning_above=60)


def test_without_a_file_accounts_are_watched() -> None:
    assert config_file.load(None).account("any").enabled is True
    assert config_file.load(None).account("any").alert_after_seconds == 180.0


API = '[apis.rates]\nurl = "https://a.example"\n'
WRONG = [
    ("x = ", "watch.toml: invalid TOML: Invalid value (at end of document)"),
    ("[api.rates]", "watch.toml: unknown table [api]; allowed: accounts, apis, certificates"),
    ("apis = 3", "watch.toml: apis must be tables: [apis.NAME]"),
    ("apis.rates = 3", "watch.toml: apis.rates must be a table: [apis.rates]"),
    ("[apis.Rates]", "[apis.Rates]: name must be 1 to 60 lowercase letters, digits, - or _"),
    ("[apis.rates]", "[apis.rates]: object missing required field `url`"),
    (API + "retries = 3", "[apis.rates]: object contains unknown field `retries`"),
    (API + 'interval_seconds = "60"', "[apis.rates] interval_seconds: expected `int`, got `str`"),
    (API + "interval_seconds = 5", "[apis.rates] interval_seconds: must be from 10 to 86400"),
    (API + "timeout_seconds = 0", "[apis.rates] timeout_seconds: must be from 0.1 to 60"),
    (
        API + "stale_after_seconds = 30",
        "[apis.rates] stale_after_seconds: must not be less than interval_seconds",
    ),
    (API + "failure_threshold = 0", "[apis.rates] failure_threshold: must be from 1 to 100"),
    (API + 'title = "a\\nb"', "[apis.rates] title: must not contain control characters"),
    (
        API + 'auth = "bearer"',
        "[apis.rates] secret: must be the name of a variable, such as RATES_TOKEN",
    ),
    (
        API + 'auth = "bearer"\nsecret = "sk_live_x"',
        "[apis.rates] secret: must be the name of a variable",
    ),
    (API + 'secret = "TOKEN"', "[apis.rates] secret: requires auth"),
    (
        API + 'auth = "header"\nsecret = "T"',
        '[apis.rates] header: is required with auth = "header", and only',
    ),
    (
        API + 'auth = "header"\nsecret = "T"\nheader = "Host"',
        "[apis.rates] header: is not a header",
    ),
    (
        API + 'auth = "header"\nsecret = "T"\nheader = "a: b"',
        "[apis.rates] header: must be the name of a",
    ),
    (
        API + 'auth = "basic"\nsecret = "T"',
        '[apis.rates] username: is required with auth = "basic", and only',
    ),
    (API + 'auth = "digest"', "[apis.rates] auth: invalid enum value 'digest'"),
    (API + 'values = [{ name = "a" }]', "[apis.rates] values[0]: object missing required field"),
    (
        API + 'values = [{ name = "a", path = "a[" }]',
        "[apis.rates] values[0].path: invalid JMESPath",
    ),
    (
        API + 'values = [{ name = "a", path = "[@,@][]|[@,@][]" }]',
        "values[0].path: must not have more than one [a, b]",
    ),
    (
        API + 'values = [{ name = "a", path = "a" }, { name = "a", path = "b" }]',
        "[apis.rates] values[1].name: 'a' is a duplicate",
    ),
    (
        API + 'values = [{ name = "a", path = "a", warning_above = nan }]',
        "values[0].warning_above: must be finite",
    ),
    (
        API + 'values = [{ name = "a", path = "a", warning_above = 2, critical_above = 1 }]',
        "values[0].critical_above: must not be below warning_above",
    ),
    (
        API + 'values = [{ name = "a", path = "a", warning_below = 1, critical_below = 2 }]',
        "values[0].critical_below: must not be above warning_below",
    ),
    (
        API + 'values = [{ name = "a", path = "a", margin = -1 }]',
        "values[0].margin: must be 0 or more",
    ),
    (
        '[certificates.a]\nhost = "https://a"',
        "[certificates.a] host: must be a host name or IP address",
    ),
    ('[certificates.a]\nhost = "a"\nport = 0', "[certificates.a] port: must be from 1 to 65535"),
    (
        '[certificates.a]\nhost = "a"\nwarning_days = 1',
        "[certificates.a] critical_days: must be from 0",
    ),
    (
        "[accounts.a]\nmeasurements.x.warning_above = inf",
        "[accounts.a] measurements.x.warning_above: must be finite",
    ),
]


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(InvalidMonitorConfig) as caught:
        config_file.parse(text, name="watch.toml")
    assert str(caught.value).startswith("watch.toml")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "ftp://a",
        "https://",
        "https://user:pw@a",
        "https://a#b",
        "https://a b",
        "https://a\\@b",
        "https://a:99999",
        "https://a:0",
        "https://[::1",
        "https://ä",
        "javascript:alert(1)",
        "https://-a",
    ],
)
def test_what_is_no_address_of_an_api_is_refused(url: str) -> None:
    with pytest.raises(InvalidMonitorConfig, match="url"):
        config_file.parse(f"[apis.a]\nurl = '{url}'", name="watch.toml")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name, data, told in (
        ("bytes.toml", b"\xff", "bytes.toml is not UTF-8"),
        (
            "large.toml",
            b"#" * (config_file.FILE_BYTES_MAX + 1),
            "large.toml is larger than 1,048,576 bytes",
        ),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InvalidMonitorConfig, match=told):
            config_file.load(tmp_path / name)
    with pytest.raises(
        InvalidMonitorConfig, match=r"none\.toml cannot be read: No such file or directory"
    ):
        config_file.load(tmp_path / "none.toml")


def test_too_many_are_refused() -> None:
    text = "".join(
        f'[certificates.c{n}]\nhost = "a"\n' for n in range(config_file.MONITORS_MAX + 1)
    )
    with pytest.raises(InvalidMonitorConfig, match="at most 1,000 APIs and certificates"):
        config_file.parse(text, name="watch.toml")
