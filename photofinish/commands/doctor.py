"""`photofinish doctor`: what works on this machine, what does not, what to do."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Say what works on this machine, what does not, and what to do. Exits 1 when something fails."""
    from photofinish.export.tensorrt.report import tensorrt_report
    from photofinish.server.doctor import Check, examine, text_from_checks

    checks = (*examine(), *(Check(**asdict(finding)) for finding in tensorrt_report()))
    click.echo(json.dumps([asdict(check) for check in checks], indent=2) if as_json else text_from_checks(checks))
    if any(check.status == "fails" for check in checks):
        sys.exit(1)
