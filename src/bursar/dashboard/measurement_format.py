"""Text form of measured values, with the decimal places of their currency or unit."""

from __future__ import annotations


def format_value(value: float | str | None, *, unit: str = "", decimals: int | None = None) -> str:
    """
    Return *value* with its *unit*, such as `1,235.500 KWD`; "no value" for None.

    Without *decimals* up to two decimal places from 100 on, else up to four.
    """
    if value is None:
        return "no value"
    return f"{_format(value, decimals)} {unit}".strip()


def _format(value: float | str, decimals: int | None) -> str:
    if isinstance(value, str):
        return value
    if decimals is not None:
        return f"{value:,.{decimals}f}"
    text = f"{value:,.2f}" if abs(value) >= 100 else f"{value:,.4f}"
    text = text.rstrip("0").rstrip(".")
    return f"{value:.4g}" if text in {"0", "-0"} and value else text
