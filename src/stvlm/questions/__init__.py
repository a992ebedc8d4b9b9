"""Clips -> questions with answers; the wordings are data, in templates.yaml."""
