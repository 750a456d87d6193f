"""Lists what the images hold: a CycloneDX bill of materials for each, and the licences. See `make sbom`."""
