"""What the images hold: a CycloneDX bill of materials of each, and the licences. `make sbom` writes them."""
