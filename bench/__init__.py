"""What is measured: each script is run as `python -m bench.NAME`, and says what it compares."""
