"""Fixtures that every folder of tests shares."""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

settings.register_profile("no timed assertions", deadline=None)
settings.load_profile("no timed assertions")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, as the program does."""
    return "asyncio"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--clients", type=int, default=30, help="test_power_cut, test_stop: 1000")
    parser.addoption("--fuzz-seconds", type=float, default=3, help="of test_fuzz.py (full: 60)")


@pytest.fixture
def clients(request: pytest.FixtureRequest) -> int:
    """How many clients come back at once."""
    return int(request.config.getoption("--clients"))


@pytest.fixture
def fuzz_seconds(request: pytest.FixtureRequest) -> float:
    """How long live listeners are fuzzed."""
    return float(request.config.getoption("--fuzz-seconds"))


def fail_where_nothing_may_be_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI every program that the tests use is installed, so a skip is a fault of `.ci/run`."""
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"Nothing may be skipped in CI. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_where_nothing_may_be_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_where_nothing_may_be_skipped(report)
    return report
