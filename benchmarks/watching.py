"""Run a command and measure its time and the peak memory of all its processes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import ROOT

SECONDS_MAX = 3_600.0
PAUSE_SECONDS = 0.02
#: Reading a large process's memory map stops it: at most this share of its time.
DISTURBED_MAX = 0.05
_FIELD = re.compile(rb"^(Pss|Pss_Anon): +(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """
    What became of a command.

    *peak_mb* is the largest sum over its processes of their proportional set sizes, that is what
    they have in memory, shared pages once; *anonymous_mb* leaves out pages of files. Both in
    million bytes, and 0 where memory was not watched.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    anonymous_mb: float
    status: int
    output: str
    errors: str


def run(
    command: Sequence[str], *, memory: bool, gently: bool = False, address_space: int | None = None
) -> Watched:
    """
    Run *command*, one at a time, and wait for it and for all of its session's processes.

    With *memory* it is watched while it runs, which slows it; *gently* bounds by how much, and may
    miss a short peak. *address_space* limits each process (bytes). After `SECONDS_MAX` it is killed.
    """
    if address_space is not None:
        command = ["sh", "-c", 'ulimit -v "$0" && exec "$@"', str(address_space // 1024), *command]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            start_new_session=True,
            env=_environment(),
        )
        killer = threading.Timer(SECONDS_MAX, _kill, [process.pid])
        killer.start()
        try:
            peak, anonymous = _watch(process, gently=gently) if memory else (0, 0)
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            killer.cancel()
            _kill(process.pid)
        return Watched(
            seconds=seconds,
            cpu_seconds=used.ru_utime + used.ru_stime,
            peak_mb=peak * 1024 / 1e6,
            anonymous_mb=anonymous * 1024 / 1e6,
            status=process.returncode,
            output=_text(output),
            errors=_text(errors),
        )


def _environment() -> dict[str, str]:
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("BURSAR_", "DJANGO_"))}
    return {**inherited, "PYTHONPATH": str(ROOT), "LC_ALL": "C"}


def _kill(session: int) -> None:
    """Kill what is left of a session; its number is its leader's until all of it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)


def _watch(process: subprocess.Popen[bytes], *, gently: bool) -> tuple[int, int]:
    """Return the peaks in KiB of a session, once its first process has ended."""
    peak = anonymous = 0
    while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        began = time.perf_counter()
        sizes = [_sizes(pid) for pid in _members(process.pid)]
        peak = max(peak, sum(whole for whole, _ in sizes))
        anonymous = max(anonymous, sum(own for _, own in sizes))
        took = time.perf_counter() - began
        time.sleep(max(PAUSE_SECONDS, took / DISTURBED_MAX if gently else 0))
    return peak, anonymous


def _members(session: int) -> list[int]:
    members = []
    for name in os.listdir("/proc"):  # noqa: PTH208  (dozens of times a second)
        if name.isdigit():
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(int(name)) == session:
                    members.append(int(name))
    return members


def _sizes(pid: int) -> tuple[int, int]:
    """Return the proportional set size of a process, and of its anonymous memory, in KiB."""
    try:
        values = dict(_FIELD.findall(Path(f"/proc/{pid}/smaps_rollup").read_bytes()))
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0, 0
    return int(values.get(b"Pss", 0)), int(values.get(b"Pss_Anon", 0))


def _text(file: object) -> str:
    file.seek(0)  # type: ignore[attr-defined]
    return file.read().decode(errors="replace")  # type: ignore[attr-defined,no-any-return]
