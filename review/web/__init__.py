"""The desk over HTTP: pages, probes, and who may ask."""
