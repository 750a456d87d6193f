"""The rules and the dashboard in the chart: those of the files, for this release alone."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.expressions import faults
from tests.deploy.chart import CHART, PROFILES, Manifest, Renderer, all_of_kind, of_kind
from tests.deploy.prometheus import promtool

FILE: dict[str, Any] = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())
SERIES = re.compile(r"mimamori[_:][a-z0-9_:]+(?P<after>.?)")


def rules_of(manifests: list[Manifest]) -> list[Manifest]:
    return [
        rule for group in of_kind(manifests, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]
    ]


def alerts_of(manifests: list[Manifest]) -> set[str]:
    return {rule["alert"] for rule in rules_of(manifests) if "alert" in rule}


def unselected(rules: list[Manifest], job: str) -> Iterator[str]:
    """Series without a matcher for the job: another release's would be counted as this one's."""
    for rule in rules:
        for found in SERIES.finditer(rule["expr"]):
            if not rule["expr"][found.end("after") - 1 :].startswith(f'{{job="{job}"'):
                yield f"{rule.get('alert') or rule['record']}: {found.group()}"


def test_every_expression_looks_at_this_release_alone(render: Renderer, tmp_path: Path) -> None:
    manifests = render("cpu")
    rules = rules_of(manifests)
    assert list(unselected(rules, "safety/watch-mimamori")) == []
    assert len(list(unselected(rules, "safety/another"))) > len(rules)
    recorded = [rule["record"] for rule in rules if "record" in rule]
    assert [fault for rule in rules for fault in faults(rule["expr"], recorded)] == []
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(of_kind(manifests, "PrometheusRule")["spec"]))
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
    named = rules_of(render("cpu", 'prometheusRule.job="mimamori"'))
    assert list(unselected(named, "mimamori")) == []


def test_nothing_else_is_changed_but_what_the_values_say(render: Renderer) -> None:
    every = {rule["alert"]: rule for group in FILE["groups"] for rule in group["rules"] if "alert" in rule}
    manifests = render("cpu")
    assert alerts_of(manifests) == set(every) - {"MimamoriWorkerIdle"}
    for rule in rules_of(manifests):
        if "alert" in rule:
            made = every[rule["alert"]]
            assert {**rule, "expr": "", "annotations": {}} == {**made, "expr": "", "annotations": {}}
            anchor = f"https://docs.example.org/mimamori/how-to/alerts.html#{rule['alert'].lower()}"
            assert rule["annotations"]["runbook_url"] == anchor
            assert rule["annotations"]["summary"] == made["annotations"]["summary"]
    late = [
        rule["expr"] for rule in rules_of(manifests) if rule.get("record", "").startswith("mimamori:late")
    ]
    assert late
    assert all('le="10.0"' in expr and 'le="30.0"' not in expr for expr in late)
    bare = rules_of(render("cpu", 'prometheusRule.runbookUrl=""', "prometheusRule.labelsWithinSeconds=2.5"))
    assert any(
        rule.get("annotations", {}).get("runbook") == "docs/how-to/alerts.md#mimamoristalled" for rule in bare
    )
    assert any('le="2.5"' in rule["expr"] for rule in bare)


def test_without_a_desk_or_a_front_there_is_no_alert_on_one(render: Renderer) -> None:
    on = ("prometheusRule.enabled=true", 'prometheusRule.job="mimamori"')
    alone = alerts_of(render("worker-only", *on))
    assert not {name for name in alone if "Desk" in name or "Cases" in name or "Front" in name}
    assert "MimamoriStalled" in alone
    assert "MimamoriDeskNotReady" in alerts_of(render("default", *on))
    assert "MimamoriFrontUnanswered" in alerts_of(render("cpu"))


@pytest.mark.parametrize("profile", [profile for profile in PROFILES if profile != "cpu"])
def test_both_are_off_unless_asked_for(render: Renderer, profile: str) -> None:
    manifests = render(profile)
    assert all_of_kind(manifests, "PrometheusRule") == []
    assert not any(item["metadata"]["name"].endswith("-dashboard") for item in manifests)


def test_the_dashboard_is_the_file_and_grafana_finds_it(render: Renderer) -> None:
    (shown,) = (item for item in render("cpu") if item["metadata"]["name"] == "watch-mimamori-dashboard")
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert shown["metadata"]["annotations"] == {"grafana_folder": "Safety"}
    made = (CHART / "files" / "dashboard.json").read_text()
    assert json.loads(shown["data"]["mimamori.json"]) == json.loads(made)
