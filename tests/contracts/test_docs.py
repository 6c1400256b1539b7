"""What the code has, the pages tell: errors, settings, jobs, commands."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import grimp

import bursar
from bursar import errors, job_handlers, settings
from bursar.api import app
from bursar.settings import Settings

ROOT = Path(__file__).parents[2]


def headings(page: str) -> set[str]:
    text = (ROOT / "docs" / "reference" / page).read_text("utf-8")
    return set(re.findall(r"^#+ ([^:\n]+)", text, re.MULTILINE))


def every_error() -> Iterator[type[errors.BursarError]]:
    for module in pkgutil.walk_packages(bursar.__path__, "bursar."):
        if ".migrations" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    waiting = [errors.BursarError]
    while waiting:
        for found in waiting.pop().__subclasses__():
            waiting.append(found)
            if found.__module__.startswith("bursar."):
                yield found


def test_one_condition_has_one_class_and_one_code() -> None:
    declared = [vars(error).get("code") for error in every_error()]
    assert sorted(map(str, declared)) == sorted(map(str, set(declared)))


def test_every_error_code_has_a_heading_and_no_heading_is_stale() -> None:
    codes = {error.code for error in every_error()}
    roots = {"Errors", *(error.__name__ for error in errors.BursarError.__subclasses__())}
    assert headings("errors.md") - roots == codes


def test_the_page_of_errors_tells_the_status_of_each() -> None:
    page = (ROOT / "docs" / "reference" / "errors.md").read_text("utf-8")
    told = dict(re.findall(r"^### (\w+)\n\n.*\((.+); declared in `[\w.]+`\)$", page, re.MULTILINE))
    assert told == {
        error.code: f"HTTP {error.status}" if error.status else "not over HTTP"
        for error in every_error()
    }


def test_what_no_request_can_meet_has_no_http_status() -> None:
    graph = grimp.build_graph("bursar", cache_dir=None)
    met_over_http = set()
    # Providers are found by entry point; a webhook's check runs their code in a request.
    for package in ("bursar.api", "bursar.admin", "bursar.providers"):
        met_over_http |= graph.find_upstream_modules(package, as_package=True)
        met_over_http |= {package, *graph.find_descendants(package)}
    wrong = {
        error.code
        for error in every_error()
        if error.status is not None and error.__module__ not in met_over_http
    }
    assert wrong == set()


def test_the_api_describes_only_errors_with_that_status() -> None:
    by_code = {error.code: error.status for error in every_error()}
    paths = app.create_app().openapi()["paths"]
    described = [
        (int(status), code)
        for operation in (one for path in paths.values() for one in path.values())
        for status, answer in operation["responses"].items()
        if "application/problem+json" in answer.get("content", {})
        for code in re.findall(r"\b[a-z]+(?:_[a-z]+)*\b", answer["description"].partition(":")[0])
    ]
    assert len(described) > 100
    assert [(status, code) for status, code in described if by_code.get(code) != status] == []


def test_every_setting_has_a_heading() -> None:
    names = {f"BURSAR_{name.upper()}" for name in Settings.model_fields}
    patterns = {"BURSAR_<ACCOUNT>_<FIELD>", "BURSAR_MONITOR_SECRET_<HOST>"}
    assert headings("settings.md") - {"Settings", *patterns} == names


def test_every_job_has_a_heading() -> None:
    assert headings("jobs.md") - {"Jobs", "Periodic jobs"} == set(job_handlers.HANDLERS)


def test_every_periodic_job_tells_its_schedule() -> None:
    page = (ROOT / "docs" / "reference" / "jobs.md").read_text("utf-8")
    sections = {part.split("\n")[0]: part for part in page.split("\n## ")}
    for job in job_handlers.PERIODIC:
        schedule = str(job.schedule).removesuffix(f" {settings.current.time_zone}")
        assert f"\n\n{schedule.capitalize()}. " in sections[job.name], job.name


def test_every_decision_is_titled_by_its_file_name() -> None:
    for page in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        title = page.read_text("utf-8").splitlines()[0].removeprefix("# ")
        words = re.findall(r"[a-z0-9]+", title.lower().replace("'", ""))
        assert "-".join(words) == page.stem[5:], page.name


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_flows_of_the_architecture_name_functions_that_exist() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    flows = page.split("## The flows")[1].split("## Invariants")[0]
    named = re.findall(r"\b((?:[a-z_]+\.)+[A-Za-z_]+)", flows)
    assert len(named) >= 18
    for name in named:
        parts = name.split(".")
        found: object = bursar
        for number, part in enumerate(parts, 1):
            if not hasattr(found, part):
                importlib.import_module("bursar." + ".".join(parts[:number]))
            found = getattr(found, part)
        assert callable(found), name
