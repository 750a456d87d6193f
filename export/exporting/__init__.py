"""Turns a language model into a bundle and a recipe. The only importer of torch, transformers and optimum."""
