"""The demo asks the worker what it runs, over HTTP, as any dashboard would."""

import pytest

from engine.errors import FatalError
from mimamori.demo.stage import what_runs
from tests.fakes.worker_app import build_app, settings
from worker.telemetry.health import Health
from worker.telemetry.metrics import Metrics


def test_every_assembled_worker_says_what_it_runs() -> None:
    metrics = Metrics()
    build_app(settings(), metrics=metrics)
    with Health("127.0.0.1", 0, metrics, lambda: None, lambda: None) as health:
        assert what_runs(f"http://127.0.0.1:{health.port}/metrics") == "canned scores, no model"


def test_a_page_that_does_not_say_it_is_not_a_workers() -> None:
    with (
        Health("127.0.0.1", 0, Metrics(), lambda: None, lambda: None) as health,
        pytest.raises(FatalError, match="does not say what runs"),
    ):
        what_runs(f"http://127.0.0.1:{health.port}/metrics")
