"""Scenes -> clips -> rows -> a folder that `load_dataset` reads."""
