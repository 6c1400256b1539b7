"""Running a worker, the servers, or all in one process: signals, drain, what is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import uvicorn
import uvloop
from fastapi import FastAPI

from bursar import errors, job_handlers, logs, settings
from bursar.api import app, metrics
from bursar.dashboard import monitor_scheduler
from bursar.dashboard.config import config_file
from bursar.db_reader import readers
from bursar.payments import provider_accounts
from bursar.queue import jobs
from bursar.queue.scheduler import Scheduler
from bursar.queue.worker import Worker

#: On the way out, how long requests and jobs under way may take to end.
DRAIN_SECONDS = 5.0

log = logs.get(__name__)


class AddressInUse(errors.Conflict):
    """Another process listens on that port."""

    code = "address_in_use"
    status = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerComponents:
    """What one process does; on SQLite it must be all, for one process writes there."""

    api: bool = True
    admin: bool = True
    webhooks: bool = True
    worker: bool = True
    monitor: bool = True
    concurrency: int = 128


def work(
    *, burst: bool, concurrency: int
) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """
    Run a worker until it is empty or told to stop (SIGINT, SIGTERM).

    Returns what became of the jobs it ran, and what is left in the queue.
    """
    worker = _worker(concurrency)
    asyncio.run(_work(worker, burst))
    return worker.outcomes, jobs.count_by_state()


def _worker(concurrency: int) -> Worker:
    return Worker(
        job_handlers.HANDLERS, concurrency=concurrency, scheduler=Scheduler(job_handlers.PERIODIC)
    )


async def _work(worker: Worker, until_empty: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, worker.stop)
    try:
        await worker.run(until_empty=until_empty)
    finally:
        await provider_accounts.close_all()


def serve(
    *,
    host: str,
    port: int,
    parts: ServerComponents,
    beside: Callable[[str], Awaitable[None]] | None = None,
    ready: Callable[[str], None] = lambda _: None,
) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """
    Serve on *host* and *port* (0: any free one) until SIGINT or SIGTERM, with a worker inside.

    *ready* is told the address once it answers; *beside* runs in the same loop until the end.
    Returns what became of the jobs that were run, and what is left in the queue.

    :raises monitors.InvalidMonitorConfig: if what is to be watched is declared wrongly;
    :raises PortTaken: if the address cannot be listened on.
    """
    watched = config_file.load(settings.current.monitors) if parts.monitor else None
    worker = _worker(parts.concurrency)
    with (
        _listening(host, port) as listener,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        try:
            runner.run(_serve(listener, parts, worker, watched, beside, ready))
        finally:
            readers.close()
    return worker.outcomes, jobs.count_by_state()


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise AddressInUse(f"cannot listen on {host}:{port}: {error.strerror}") from error
    with listener:
        yield listener


def freeze_gc() -> None:
    """
    Take what has been loaded so far out of the garbage collector's sight.

    Django and the rest are half a million objects that live as long as the process; going through
    them every so often stops all requests for 60 to 80 ms (`scripts/stories 8`).
    """
    gc.collect()
    gc.freeze()


async def _ended(task: asyncio.Future[None], *, seconds: float) -> None:
    """Cancel *task* and give it *seconds* for what it does on its way out."""
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=seconds)
    for each in done:
        if not each.cancelled() and each.exception() is not None:
            log.error("simulation_failed", error=each.exception())


async def _drained(seconds: float) -> None:
    """Wait until no job is ready or running, at most *seconds*."""
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        depth = await readers.run(jobs.count_by_state)
        if not any(state in {"ready", "leased"} for _, state in depth):
            return
        await asyncio.sleep(0.1)


class _Server(uvicorn.Server):
    """Uvicorn, but that the signals are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server_of(application: FastAPI) -> _Server:
    return _Server(
        uvicorn.Config(
            application,
            http="httptools",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=True,
            timeout_keep_alive=30,
            limit_concurrency=2_000,
            timeout_graceful_shutdown=int(DRAIN_SECONDS),
        )
    )


async def _serve(
    listener: socket.socket,
    parts: ServerComponents,
    worker: Worker,
    watched: config_file.DashboardConfig | None,
    beside: Callable[[str], Awaitable[None]] | None,
    ready: Callable[[str], None],
) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    made = app.create_app(api=parts.api, admin=parts.admin, with_webhooks=parts.webhooks)
    server = _server_of(made)
    freeze_gc()
    name, port = listener.getsockname()[:2]
    address = f"http://{f'[{name}]' if ':' in name else name}:{port}"
    tasks = [asyncio.create_task(server.serve(sockets=[listener]), name="server")]
    if parts.worker:
        tasks.append(asyncio.create_task(worker.run(drain_seconds=DRAIN_SECONDS), name="worker"))
        metrics.WORKER_UP.set(1)
    if watched is not None:
        tasks.append(asyncio.create_task(monitor_scheduler.watch(watched), name="watcher"))
    if beside is not None:
        tasks.append(asyncio.ensure_future(beside(address)))
    waiting = asyncio.create_task(stopping.wait())
    try:
        while not server.started and not tasks[0].done():  # noqa: ASYNC110  (uvicorn has no event)
            await asyncio.sleep(0.01)
        ready(address)
        # One that ends by itself has failed; the others are not left running without it.
        await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        if beside is not None:
            await _ended(tasks.pop(), seconds=DRAIN_SECONDS)
            await _drained(DRAIN_SECONDS)
        log.info("stopping", tasks=[task.get_name() for task in tasks if not task.done()])
        made.state.streams.close()
        server.should_exit = True
        worker.stop()
        if watched is not None:
            tasks[-1].cancel()  # the watcher writes what came, and gives its lease back
        waiting.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        await provider_accounts.close_all()
    for result in ended:
        if isinstance(result, Exception):
            raise result
