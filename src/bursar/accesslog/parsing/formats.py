"""
Access log formats.

A format is a sequence of fields, each with the literal text after it. It is parsed from an Apache
`LogFormat` (mod_log_config), an nginx `log_format` (ngx_http_log_module) or the `#Fields` line of a W3C
extended log file, or is one of `PRESETS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bursar import errors

#: Supported fields. A log has one kind of time and one of duration.
FIELDS = frozenset(
    {
        "client",
        "forwarded",
        "request",
        "method",
        "path",
        "status",
        "bytes",
        "referrer",
        "agent",
        "host",
        "time",
        "time_iso",
        "epoch",
        "date",
        "time_of_day",
        "micros",
        "millis",
        "seconds",
        "seconds_2",
        "seconds_3",
    }
)
_NUMBERS = frozenset(
    {
        "status",
        "bytes",
        "epoch",
        "micros",
        "millis",
        "seconds",
        "seconds_2",
        "seconds_3",
    }
)

#: Maximum length of the literal text between two fields.
LITERAL_BYTES_MAX = 32


class UnknownLogFormat(errors.Invalid):
    """The format of a log is not recognized; set `--format`."""

    code = "unknown_log_format"
    status = None


class InvalidLogFormat(errors.Invalid):
    """A format text is invalid, or its fields cannot be separated."""

    code = "invalid_log_format"
    status = None


@dataclass(frozen=True, slots=True)
class LogFormat:
    """
    The structure of a line: *prefix*, then each field and the literal text after it.

    A last field without literal text extends to the end of the line. Unnamed fields are skipped.
    """

    name: str
    steps: tuple[tuple[str, bytes], ...]
    prefix: bytes = b""
    has_fields_line: bool = False
    """Whether `#` lines are comments, and `#Fields:` lines define the columns."""

    is_json: bool = False
    client_has_port: bool = False

    def has(self, field: str) -> bool:
        """Whether lines contain *field*."""
        return any(name == field for name, _ in self.steps)

    @property
    def starts_with_client(self) -> bool:
        """Whether a line starts with the client, followed by a space."""
        name, literal = self.steps[0]
        return (
            name == "client"
            and literal[:1] == b" "
            and not (self.prefix or self.has_fields_line or self.is_json or self.client_has_port)
        )

    @property
    def forbidden_in_last(self) -> int | None:
        """The byte that a last field without literal text cannot contain; None if it may contain any."""
        name, literal = self.steps[-1]
        if literal or len(self.steps) < 2 or not (self.has_fields_line or name in _NUMBERS):
            return None
        return self.steps[-2][1][-1]


# --- Apache ---------------------------------------------------------------------------------------

_APACHE = re.compile(
    r"%(?P<flags>[<>!,0-9]*)(?:\{(?P<argument>[^}]*)\})?(?P<letter>\^[A-Za-z]{2}|[A-Za-z]|%)"
)
_APACHE_FIELDS = {
    "h": "client",
    "a": "client",
    "r": "request",
    "m": "method",
    "U": "path",
    "s": "status",
    "b": "bytes",
    "B": "bytes",
    "O": "bytes",
    "v": "host",
    "V": "host",
    "D": "micros",
    "T": "seconds",
    "q": "query",
}
_APACHE_ARGUMENTS = {
    ("referer", "i"): "referrer",
    ("user-agent", "i"): "agent",
    ("x-forwarded-for", "i"): "forwarded",
    ("host", "i"): "host",
    ("us", "T"): "micros",
    ("ms", "T"): "millis",
    ("s", "T"): "seconds",
    ("sec", "t"): "epoch",
    ("%Y-%m-%dT%H:%M:%S%z", "t"): "time_iso",
}


def _apache(text: str) -> list[str]:
    """Split a LogFormat into alternating literals and fields, starting with a literal."""
    parts, at = [""], 0
    for match in _APACHE.finditer(text):
        parts[-1] += text[at : match.start()]
        at = match.end()
        letter, argument = match["letter"], match["argument"]
        if letter == "%":
            parts[-1] += "%"
        elif letter == "t" and argument is None:
            parts[-1] += "["
            parts += ["time", "]"]
        elif argument is not None:
            key = argument.lower() if letter == "i" else argument
            parts += [_APACHE_ARGUMENTS.get((key, letter), ""), ""]
        else:
            parts += [_APACHE_FIELDS.get(letter.lstrip("^"), ""), ""]
    parts[-1] += text[at:]
    return parts


# --- nginx ----------------------------------------------------------------------------------------

_NGINX = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<plain>\w+))")
_NGINX_FIELDS = {
    "remote_addr": "client",
    "http_x_forwarded_for": "forwarded",
    "time_local": "time",
    "time_iso8601": "time_iso",
    "msec": "epoch",
    "request": "request",
    "request_method": "method",
    "request_uri": "path",
    "uri": "path",
    "status": "status",
    "body_bytes_sent": "bytes",
    "bytes_sent": "bytes",
    "request_time": "seconds",
    "http_referer": "referrer",
    "http_user_agent": "agent",
    "host": "host",
    "server_name": "host",
    "http_host": "host",
    "is_args": "query",
    "args": "query",
    "query_string": "query",
}


def _nginx(text: str) -> list[str]:
    parts, at = [""], 0
    for match in _NGINX.finditer(text):
        parts[-1] += text[at : match.start()]
        at = match.end()
        parts += [_NGINX_FIELDS.get(match["braced"] or match["plain"], ""), ""]
    parts[-1] += text[at:]
    return parts


def parse_format(text: str) -> LogFormat:
    r"""
    Parse an Apache `LogFormat` or an nginx `log_format`; `\"` and `\t` are unescaped.

    :raises InvalidLogFormat: if it has no client, or no text between two fields.
    """
    plain = text.strip().replace('\\"', '"').replace("\\t", "\t")
    parts = _nginx(plain) if "$" in plain else _apache(plain)
    names, literals = parts[1::2], parts[2::2]
    if any(len(literal.encode()) > LITERAL_BYTES_MAX for literal in parts[0::2]):
        raise InvalidLogFormat(
            f"the format {text!r} has more than {LITERAL_BYTES_MAX} bytes between two fields",
            param="format",
        )
    if "client" not in names:
        raise InvalidLogFormat(
            f"the format {text!r} has no client address (%h, %a or $remote_addr)", param="format"
        )
    steps: list[tuple[str, bytes]] = []
    for number, (name, literal) in enumerate(zip(names, literals, strict=True)):
        used_names = {before for before, _ in steps}
        if name == "query" and steps and steps[-1] == ("path", b""):
            steps[-1] = "path", literal.encode()  # part of the path, from which it is removed later
            continue
        steps.append((name if name in FIELDS and name not in used_names else "", literal.encode()))
        follows = number + 1 < len(names)
        if follows and not literal and not (name == "path" and names[number + 1] == "query"):
            raise InvalidLogFormat(
                f"the format {text!r} has no text between field {number + 1} and field {number + 2}",
                param="format",
            )
    return LogFormat("custom", tuple(steps), parts[0].encode())


# --- W3C ------------------------------------------------------------------------------------------

_W3C_FIELDS = {
    "date": "date",
    "time": "time_of_day",
    "c-ip": "client",
    "cs-method": "method",
    "cs-uri-stem": "path",
    "cs-uri": "path",
    "sc-status": "status",
    "sc-bytes": "bytes",
    "cs(user-agent)": "agent",
    "cs(referer)": "referrer",
    "cs(host)": "host",
    "cs-host": "host",
    "x-forwarded-for": "forwarded",
    "cs(x-forwarded-for)": "forwarded",
}
_FIELDS_LINE = re.compile(rb"#fields:[ \t]*(?P<names>[^\r\n]*)", re.IGNORECASE)


def parse_fields_line(line: bytes) -> LogFormat | None:
    """Return the format that a `#Fields:` line declares; None for any other line."""
    match = _FIELDS_LINE.match(line)
    if match is None:
        return None
    words = match["names"].decode("latin-1").split()
    cloudfront = "x-edge-location" in words
    duration = "seconds" if cloudfront else "millis"
    names = [
        duration if word == "time-taken" else _W3C_FIELDS.get(word.lower(), "") for word in words
    ]
    between = b"\t" if cloudfront else b" "
    steps = [(name, between) for name in names]
    if not steps:
        return None
    steps[-1] = steps[-1][0], b""
    return LogFormat("cloudfront" if cloudfront else "w3c", tuple(steps), has_fields_line=True)


# --- Presets --------------------------------------------------------------------------------------

_COMMON = '%h %l %u %t "%r" %>s %b'
_COMBINED = _COMMON + ' "%{Referer}i" "%{User-Agent}i"'


def _alb() -> LogFormat:
    blank = b" "
    fields = [
        "",
        "time_iso",
        "",
        "client",
        "",
        "seconds",
        "seconds_2",
        "seconds_3",
        "status",
        "",
        "",
    ]
    steps = [*((field, blank) for field in fields), ("bytes", b' "'), ("request", b'" "')]
    return LogFormat("alb", (*steps, ("agent", b'" '), ("", b"")), client_has_port=True)


#: The columns to which `json_lines` converts a JSON object.
JSON_FIELDS = (
    "client",
    "epoch",
    "method",
    "path",
    "status",
    "bytes",
    "micros",
    "referrer",
    "agent",
    "host",
    "forwarded",
)


def _json() -> LogFormat:
    steps = [(field, b"\t") for field in JSON_FIELDS]
    steps[-1] = JSON_FIELDS[-1], b""
    return LogFormat("json", tuple(steps), is_json=True)


#: In the order of detection; a format with more fields comes before one with fewer.
PRESETS: Mapping[str, LogFormat] = {
    "vhost": replace(parse_format(f"%v:%p {_COMBINED}"), name="vhost"),
    "combined": replace(parse_format(_COMBINED), name="combined"),
    "combined_extra": replace(parse_format(f"{_COMBINED} %q"), name="combined_extra"),
    "common": replace(parse_format(_COMMON), name="common"),
    "alb": _alb(),
    "json": _json(),
}
_BY_HEADER: Mapping[str, Callable[[bytes], LogFormat | None]] = {
    "w3c": parse_fields_line,
    "cloudfront": parse_fields_line,
}


def find_format(text: str, *, head: bytes = b"") -> LogFormat:
    """
    Return a preset by name, or the format of a LogFormat or log_format text.

    The columns of "w3c" and "cloudfront" are read from *head*, the first lines of the log.

    :raises InvalidLogFormat: if *text* is neither a name nor a valid format text.
    """
    if text in _BY_HEADER:
        return declared_format(head) or _w3c_missing(text)
    if text in PRESETS:
        return PRESETS[text]
    if "%" in text or "$" in text:
        return parse_format(text)
    names = ", ".join(sorted([*PRESETS, *_BY_HEADER]))
    raise InvalidLogFormat(
        f"unknown format {text!r}; use {names}, or a LogFormat or log_format text",
        param="format",
    )


def declared_format(head: bytes) -> LogFormat | None:
    """Return the format of the first `#Fields:` line, if *head* starts with comments that include one."""
    for line in head.splitlines():
        if not line.startswith(b"#"):
            return None
        if (declared := parse_fields_line(line)) is not None:
            return declared
    return None


def _w3c_missing(text: str) -> LogFormat:
    raise InvalidLogFormat(
        f"a log of format {text!r} must start with a #Fields: line; this log has none",
        param="format",
    )
