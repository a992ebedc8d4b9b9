"""Rows -> batches; models -> responses -> report."""
