"""The main job on this machine, from nothing, with sample conversations."""
