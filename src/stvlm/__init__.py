"""Kinematic questions from recordings: data, metric and training for video VLMs (after ST-VLM, arXiv 2503.19355)."""

__version__ = "0.1.0"
