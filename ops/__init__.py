"""What operations see at night: rules for Prometheus, a runbook and a dashboard, made from one catalogue.

    alerts.yaml      what is promised, each alert with its expression, and what to do about it
    dashboard.yaml   rows and panels
    generate.py      `python -m ops.generate` writes helm/files/ and docs/how-to/alerts.md from them

Nothing here is part of an image.
"""
