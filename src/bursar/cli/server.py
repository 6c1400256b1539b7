"""Run a worker, the servers, or both in one process: signals, drain, shutdown."""

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

#: At shutdown, the time that running requests and jobs get to finish.
DRAIN_SECONDS = 5.0

log = logs.get(__name__)


class AddressInUse(errors.Conflict):
    """Another process listens on the port."""

    code = "address_in_use"
    status = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerComponents:
    """Components served by one process. On SQLite it serves all: only one process may write."""

    api: bool = True
    admin: bool = True
    webhooks: bool = True
    worker: bool = True
    monitor: bool = True
    concurrency: int = 128


def run_worker(
    *, burst: bool, concurrency: int
) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """
    Run a worker until SIGINT or SIGTERM, or with *burst* until no job is ready or running.

    Return the number of jobs run by name and outcome, and of jobs in the queue by name and state.
    """
    worker = _create_worker(concurrency)
    asyncio.run(_run_worker(worker, burst=burst))
    return worker.outcomes, jobs.count_by_state()


def _create_worker(concurrency: int) -> Worker:
    return Worker(
        job_handlers.HANDLERS, concurrency=concurrency, scheduler=Scheduler(job_handlers.PERIODIC)
    )


async def _run_worker(worker: Worker, *, burst: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, worker.stop)
    try:
        await worker.run(until_empty=burst)
    finally:
        await provider_accounts.close_all()


def serve(
    *,
    host: str,
    port: int,
    components: ServerComponents,
    background_task: Callable[[str], Awaitable[None]] | None = None,
    on_ready: Callable[[str], None] = lambda _: None,
) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """
    Serve *components* on *host* and *port* (0: any free one) until SIGINT or SIGTERM.

    *on_ready* is called with the address once the server responds; *background_task* runs in the
    same event loop until shutdown. Return the number of jobs run by name and outcome, and of jobs
    in the queue by name and state.

    :raises monitors.InvalidMonitorConfig: if the file of monitors is invalid;
    :raises AddressInUse: if the address cannot be listened on.
    """
    config = config_file.load(settings.current.monitors) if components.monitor else None
    worker = _create_worker(components.concurrency)
    with (
        _open_listener(host, port) as listener,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        try:
            runner.run(_serve(listener, components, worker, config, background_task, on_ready))
        finally:
            readers.close()
    return worker.outcomes, jobs.count_by_state()


@contextlib.contextmanager
def _open_listener(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise AddressInUse(f"cannot listen on {host}:{port}: {error.strerror}") from error
    with listener:
        yield listener


def freeze_gc() -> None:
    """
    Freeze loaded objects so that the garbage collector skips them.

    Django and the other modules are half a million objects that live as long as the process;
    each full collection of them stops all requests for 60 to 80 ms (`scripts/stories 8`).
    """
    gc.collect()
    gc.freeze()


async def _cancel(task: asyncio.Future[None], *, seconds: float) -> None:
    """Cancel *task* and wait at most *seconds* for its clean-up."""
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=seconds)
    for result in done:
        if not result.cancelled() and result.exception() is not None:
            log.error("simulation_failed", error=result.exception())


async def _wait_until_idle(seconds: float) -> None:
    """Wait until no job is ready or running, at most *seconds*."""
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        depth = await readers.run(jobs.count_by_state)
        if not any(state in {"ready", "leased"} for _, state in depth):
            return
        await asyncio.sleep(0.1)


class _UvicornServer(uvicorn.Server):
    """Uvicorn without its signal handlers; `_serve` handles the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _create_server(application: FastAPI) -> _UvicornServer:
    return _UvicornServer(
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
    components: ServerComponents,
    worker: Worker,
    config: config_file.DashboardConfig | None,
    background_task: Callable[[str], Awaitable[None]] | None,
    on_ready: Callable[[str], None],
) -> None:
    stop_requested = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop_requested.set)
    application = app.create_app(
        api=components.api, admin=components.admin, with_webhooks=components.webhooks
    )
    server = _create_server(application)
    freeze_gc()
    name, port = listener.getsockname()[:2]
    address = f"http://{f'[{name}]' if ':' in name else name}:{port}"
    tasks = [asyncio.create_task(server.serve(sockets=[listener]), name="server")]
    if components.worker:
        tasks.append(asyncio.create_task(worker.run(drain_seconds=DRAIN_SECONDS), name="worker"))
        metrics.WORKER_UP.set(1)
    if config is not None:
        tasks.append(asyncio.create_task(monitor_scheduler.run_scheduler(config), name="monitors"))
    if background_task is not None:
        tasks.append(asyncio.ensure_future(background_task(address)))
    waiting = asyncio.create_task(stop_requested.wait())
    try:
        while not server.started and not tasks[0].done():  # noqa: ASYNC110  (uvicorn has no event)
            await asyncio.sleep(0.01)
        on_ready(address)
        # A task that ends before a signal has failed, and stops the others.
        await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        if background_task is not None:
            await _cancel(tasks.pop(), seconds=DRAIN_SECONDS)
            await _wait_until_idle(DRAIN_SECONDS)
        log.info("shutdown_started", tasks=[task.get_name() for task in tasks if not task.done()])
        application.state.streams.close()
        server.should_exit = True
        worker.stop()
        if config is not None:
            tasks[-1].cancel()  # writes pending state and releases its lease
        waiting.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await provider_accounts.close_all()
    for result in results:
        if isinstance(result, Exception):
            raise result
