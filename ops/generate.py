"""`python -m ops.generate`: writes Prometheus' rules, Grafana's dashboard, the runbook, Strimzi's list.

python -m ops.generate            write helm/files/ and docs/how-to/alerts.md
python -m ops.generate --check    exit with 1 where one of them is out of date
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from ops.dashboard import dashboard
from ops.plan import Alerts, Board, PlanError, load_alerts, load_board
from ops.rules import groups_of
from ops.runbook import runbook
from ops.strimzi import listed

ROOT: Final = Path(__file__).parents[1]
HEADER: Final = """\
# Made by `python -m ops.generate` from ops/alerts.yaml: edit that file.
# The chart makes a PrometheusRule of it, with a selector of its own pods. Prometheus alone takes it as it is
# (`rule_files`); leave mimamori-desk out without the review desk, and mimamori-front without an HTTP front.
"""
STRIMZI: Final = """\
# Made by `python -m ops.generate` from schemas/topics/ and schemas/rights.py. The chart makes KafkaTopics and
# KafkaUsers of it, and fills in what stands between braces.
"""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def made(alerts: Alerts, board: Board) -> dict[str, str]:
    """Each file's text, by its path in the repository. Raises PlanError."""
    groups = groups_of(alerts)
    recorded = [rule["record"] for group in groups for rule in group["rules"] if "record" in rule]
    return {
        "helm/files/rules.yaml": HEADER + _yaml({"groups": groups}),
        "helm/files/strimzi.yaml": STRIMZI + _yaml(listed()),
        "helm/files/dashboard.json": json.dumps(
            dashboard(board, alerts.objectives, recorded), indent=2, ensure_ascii=False
        )
        + "\n",
        "docs/how-to/alerts.md": runbook(alerts).rstrip("\n") + "\n",
    }


def stale(files: dict[str, str], root: Path = ROOT) -> list[str]:
    """The paths whose files are not as they would be made now."""
    return [
        path
        for path, text in files.items()
        if not (root / path).exists() or (root / path).read_text("utf-8") != text
    ]


def _yaml(document: Any) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m ops.generate", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 where a file is stale"
    )
    checks = parser.parse_args().check
    try:
        files = made(load_alerts(), load_board())
    except PlanError as error:
        print(f"error: {error}")
        return 1
    changed = stale(files)
    if checks:
        for path in changed:
            print(f"{path} is out of date: run `python -m ops.generate`")
        return 1 if changed else 0
    for path in changed:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(files[path], "utf-8")
        print(f"{path}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
