"""Sample reports for the tests of outputs; the hostile one has attack strings in every key."""

from __future__ import annotations

from bursar.accesslog import report as reports

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07",
    "<script>document.title='owned'</script>",
    '"><img src=//evil.example/x onerror=alert(1)>',
    "=cmd|'/C calc'!A0",
    "abc\u202egnp.exe",
    "nul\0nul",
    "\\x1b[31m",
    "@SUM(1)",
    "+1",
    "-1+2",
    "\r\nforged,line",
    "[bold red]x[/]",
    " =1+1",
    "\x9b31m",
    "\u2028",
    "</style><style>*{display:none}",
)


def usual(*, complete: bool = True, approximate: bool = False) -> reports.AccessLogReport:
    """Return the report of a small shop; one input is truncated unless *complete*."""
    report: reports.AccessLogReport = {
        "bursar_version": "0.1.0",
        "complete": complete,
        "approximate": approximate,
        "sources": [
            {"name": "access.log", "format": "combined", "bytes": 1_234_567, "lines": 5_002}
        ],
        "lines": {"read": 5_002, "counted": 5_000, "unparsed": 2, "too_long": 1, "filtered": 0},
        "first_at": "2026-11-24T00:00:03Z",
        "last_at": "2026-11-25T23:59:58Z",
        "filters": [],
        "duration_seconds": 0.25,
        "totals": {
            "requests": 5_000,
            "bytes": 9_876_543,
            "client_errors": 120,
            "server_errors": 7,
            "mean_ms": 12.5,
            "max_ms": 900.0,
        },
        "addresses": {
            "distinct": 321,
            "top": [
                {
                    "address": "192.0.2.7",
                    "requests": 900,
                    "bytes": 4_000,
                    "client_errors": 90,
                    "server_errors": 0,
                },
                {
                    "address": "2001:db8::1",
                    "requests": 300,
                    "bytes": 70_000,
                    "client_errors": 0,
                    "server_errors": 1,
                },
            ],
        },
        "statuses": {
            "distinct": 5,
            "top": [
                {"status": status, "requests": count}
                for status, count in ((200, 4_700), (302, 173), (404, 100), (402, 20), (500, 7))
            ],
        },
        "routes": {
            "distinct": 2,
            "top": [
                {"route": "/v1/orders/{id}", "requests": 3_000, "mean_ms": 9.0, "max_ms": 80.5},
                {"route": "/v1/payments", "requests": 2_000, "mean_ms": 17.75, "max_ms": 900.0},
            ],
        },
        "slowest": {
            "distinct": 2,
            "top": [
                {"route": "/v1/payments", "requests": 2_000, "mean_ms": 17.75, "max_ms": 900.0},
                {"route": "/v1/orders/{id}", "requests": 3_000, "mean_ms": 9.0, "max_ms": 80.5},
            ],
        },
        "hours": {
            "distinct": 48,
            "top": [
                {
                    "hour": f"2026-11-{24 + at // 24}T{at % 24:02}:00:00Z",
                    "requests": 40 + (at * 37) % 130,
                    "client_errors": at % 7,
                    "server_errors": int(at == 40),
                }
                for at in range(48)
            ],
        },
        "signals": [
            {
                "kind": "card_testing",
                "subject": "192.0.2.7",
                "values": {"declined": 90},
                "message": "90 declined payments with 88 different amounts in an hour",
            }
        ],
    }
    if not complete:
        report["sources"][0]["truncated_at"] = 1_234_000
    if approximate:
        report["error_bound"] = 0.02
    return report


def hostile() -> reports.AccessLogReport:
    """Return a report with `HOSTILE` in every key, the signals, the filters and the input names."""
    report = usual(complete=False)
    for name, key in reports.KEYS.items():
        rows = [{key: text, "requests": 9} for text in HOSTILE]
        if name not in {"statuses", "hours"}:
            report[name] = {"distinct": len(rows), "top": rows}  # type: ignore[literal-required]
    report["signals"] = [
        {"kind": "scanner", "subject": text, "message": text, "values": {}} for text in HOSTILE
    ]
    report["filters"] = list(HOSTILE)
    report["sources"] = [
        {"name": text, "format": text, "bytes": 1, "lines": 1, "truncated_at": 1}
        for text in HOSTILE
    ]
    return report
