"""The report as one page of HTML that needs nothing else: no network, no script, plots as SVG."""
