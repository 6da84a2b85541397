"""Finds and loads DAG files: user code runs here."""
