"""A language model becomes a bundle and a recipe. The only importer of torch, transformers and optimum."""
