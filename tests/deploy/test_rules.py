"""Each alert fires on the series that it is for, and on no others; and what is made is what lies there."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import yaml
from typer.testing import CliRunner

from mimamori.cli import app
from ops.expressions import LISTED, faults, selecting
from ops.generate import ROOT, made, stale
from ops.plan import Alert, Alerts, Board, PlanError, Query, load_alerts, load_board
from ops.rules import groups_of
from schemas.reasons import DEAD_LETTER_REASONS
from tests.deploy.prometheus import promtool
from worker.telemetry.catalogue import LATENCY_BUCKETS

RULES = ROOT / "helm" / "files" / "rules.yaml"
# Words alone: YAML would make a number of promtool's 0x30, thirty zeros.
CASES: dict[str, dict[str, list[dict[str, Any]]]] = yaml.load(
    Path(__file__).with_name("rule_cases.yaml").read_text(),
    yaml.BaseLoader,  # noqa: S506 - safer than the safe one
)


@pytest.fixture(scope="module")
def alerts() -> Alerts:
    return load_alerts()


@pytest.fixture(scope="module")
def board() -> Board:
    return load_board()


def test_what_is_made_is_what_lies_there(alerts: Alerts, board: Board, tmp_path: Path) -> None:
    files = made(alerts, board)
    assert stale(files) == []
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "docs/how-to/alerts.md").write_text("edited by hand")
    (tmp_path / "helm/files/dashboard.json").unlink()
    assert stale(files, tmp_path) == ["helm/files/dashboard.json", "docs/how-to/alerts.md"]


def test_promtool_takes_the_rules_and_refuses_broken_ones(tmp_path: Path) -> None:
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "rules.yaml"
    broken.write_text(RULES.read_text().replace("sum by (job)", "sum of (job)", 1))
    assert promtool("check", "rules", broken).returncode != 0


class Case(NamedTuple):
    """Series of one job, and whether the alert fires on them."""

    alert: str
    fires: bool
    step: str
    at: str
    series: dict[str, str]
    labels: dict[str, str]
    job: str


def every_case() -> Iterator[Case]:
    for name, cases in CASES.items():
        for state in ("fires", "silent"):
            for number, case in enumerate(cases[state]):
                step, labels, job = case.get("step", "1m"), case.get("labels", {}), f"{name}_{state}_{number}"
                yield Case(name, state == "fires", step, case["at"], case["series"], labels, job)


def promtool_files(folder: Path, expr_of: Callable[[Case, str], str]) -> list[Path]:
    """What promtool is to test: for each case a copy of its rule that looks at the case's job alone.

    So it is in the chart, where each release has rules of its own. One storage for all cases of a step:
    a test for each would take a minute.
    """
    rules = every_rule(RULES)
    recorded = [rule for rule in rules if "record" in rule]
    of = {rule["alert"]: rule for rule in rules if "alert" in rule}
    files = []
    for step, cases in groupby(sorted(every_case(), key=lambda case: case.step), lambda case: case.step):
        listed = list(cases)
        copies = [
            of[case.alert] | {"alert": case.job, "expr": expr_of(case, of[case.alert]["expr"])}
            for case in listed
        ]
        copied, file = folder / f"rules-{step}.yaml", folder / f"tests-{step}.yaml"
        copied.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": recorded + copies}]}))
        test = {
            "interval": step,
            "input_series": [
                {"series": selecting(series, partial(of_job, case)), "values": values}
                for case in listed
                for series, values in case.series.items()
            ],
            "alert_rule_test": [expectation(case, of[case.alert]) for case in listed],
        }
        whole = {"rule_files": [str(copied)], "evaluation_interval": step, "tests": [test]}
        file.write_text(yaml.safe_dump(whole))
        files.append(file)
    return files


def of_job(case: Case, _series: str) -> str:
    return f'job="{case.job}"'


def expectation(case: Case, rule: dict[str, Any]) -> dict[str, Any]:
    labels = {"job": case.job, **rule["labels"], **case.labels}
    expected = {"exp_labels": labels, "exp_annotations": rule["annotations"]}
    return {"alertname": case.job, "eval_time": case.at, "exp_alerts": [expected] if case.fires else []}


def as_it_is(case: Case, expr: str) -> str:
    return selecting(expr, partial(of_job, case))


def the_contrary(case: Case, _expr: str) -> str:
    return "vector(0) > 1" if case.fires else "vector(1)"


def every_rule(file: Path) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def test_every_alert_fires_when_it_should_and_is_silent_when_not(alerts: Alerts, tmp_path: Path) -> None:
    assert list(CASES) == [alert.name for alert in alerts.every()]
    assert all(cases["fires"] and cases["silent"] for cases in CASES.values())
    done = promtool("test", "rules", *promtool_files(tmp_path, as_it_is))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_that_never_fires_or_always_does_is_seen(tmp_path: Path) -> None:
    done = promtool("test", "rules", *promtool_files(tmp_path, the_contrary))
    assert done.returncode != 0
    assert set(re.findall(r"alertname: (\w+),", done.stdout + done.stderr)) == {
        case.job for case in every_case()
    }


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ("rate(mimamori_record_total[5m])", "mimamori_record_total is not in a catalogue"),
        ("mimamori_latency_seconds", "mimamori_latency_seconds is not in a catalogue"),
        ("mimamori:late:ratio_rate2h > 1", "mimamori:late:ratio_rate2h is not recorded"),
        ('mimamori_labels_total{reason="clear"}', "mimamori_labels_total has no label reason"),
        ('mimamori_labels_total{verdict="clean"}', "mimamori_labels_total has no verdict clean"),
        ('mimamori_latency_seconds_bucket{le="30"}', "mimamori_latency_seconds has no bucket 30"),
        ("sum by (partition) (mimamori_lag_records)", "no metric of it has the label partition"),
        ("mimamori_shadow_labels_total", "belong to no rule"),
    ],
)
def test_what_no_catalogue_lists_is_refused(expr: str, said: str, alerts: Alerts, board: Board) -> None:
    assert any(said in fault for fault in faults(expr, ["mimamori:late:ratio_rate1h"]))
    spoilt = msgspec.structs.replace(alerts.groups[0].alerts[0], expr=expr)
    groups = [msgspec.structs.replace(alerts.groups[0], alerts=[spoilt]), *alerts.groups[1:]]
    with pytest.raises(PlanError, match=spoilt.name):
        groups_of(msgspec.structs.replace(alerts, groups=groups))
    panel = msgspec.structs.replace(board.rows[0].panels[0], queries=[Query(expr)])
    rows = [msgspec.structs.replace(board.rows[0], panels=[panel])]
    with pytest.raises(PlanError, match=panel.title):
        made(alerts, msgspec.structs.replace(board, rows=rows))


def test_seconds_that_no_bucket_ends_with_and_alerts_without_a_cause_are_refused(alerts: Alerts) -> None:
    with pytest.raises(PlanError, match="which no bucket ends with"):
        groups_of(msgspec.structs.replace(alerts, within_seconds=20))
    assert alerts.within_seconds in LATENCY_BUCKETS
    causeless = msgspec.structs.replace(alerts.groups[0].alerts[0], expr=None)
    groups = [msgspec.structs.replace(alerts.groups[0], alerts=[causeless])]
    with pytest.raises(PlanError, match="give it an expr, or an objective"):
        groups_of(msgspec.structs.replace(alerts, groups=groups))


def test_a_misspelt_field_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text((ROOT / "ops" / "alerts.yaml").read_text().replace("severity: page", "severty: page", 1))
    with pytest.raises(PlanError, match="severty"):
        load_alerts(file)


def test_unscreened_is_what_may_have_been_a_message(alerts: Alerts) -> None:
    (objective,) = (one for one in alerts.objectives if one.name == "unscreened")
    for expr in (objective.bad, objective.total):
        (listed,) = re.findall(r'reason=~"([^"]+)"', expr)
        shown = {reason for reason, meaning in DEAD_LETTER_REASONS.items() if meaning.shown_as}
        assert set(listed.split("|")) == shown


def names(steps: list[str], pattern: str) -> list[str]:
    return [found for step in steps for found in re.findall(pattern, step)]


def test_the_runbook_names_commands_and_log_lines_that_there_are(alerts: Alerts) -> None:
    sources = "\n".join(
        file.read_text()
        for package in ("worker", "front", "review", "engine", "tracing")
        for file in (ROOT / package).rglob("*.py")
    )
    used: set[str] = set()
    for alert in alerts.every():
        assert [event for event in alert.logs if f'"{event}"' not in sources] == [], alert.name
        assert [step for step in words(alert) if not step.endswith((".", "?"))] == [], alert.name
        used |= set(names(alert.look + alert.do, r"(?:`|-- )mimamori ([a-z-]+(?: [a-z-]+)?)"))
        for series in names([*alert.look, *alert.do, alert.see], r"`(mimamori_\w+)`"):
            assert any(metric.name == series for metric in LISTED.values()), alert.name
    assert len(used) > 5
    for command in used:
        arguments = [word for word in command.split() if not word.startswith("-")]
        assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0, command
    assert CliRunner().invoke(app, ["topics", "rights", "--help"]).exit_code != 0


def words(alert: Alert) -> list[str]:
    return [alert.summary, alert.see, alert.people, *alert.look, *alert.do]


def test_panels_stand_beside_one_another_and_say_what_they_show(alerts: Alerts, board: Board) -> None:
    made_of = msgspec.json.decode(made(alerts, board)["helm/files/dashboard.json"])
    panels = made_of["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)
    shown = [panel for panel in panels if panel["type"] != "row"]
    assert all(panel["description"].endswith((".", "?")) and panel["targets"] for panel in shown)
    assert next(panel["title"] for panel in panels if panel["type"] == "row") == board.rows[0].title
    assert board.rows[0].title == "What people were promised"
    assert len(board.rows) <= 6
