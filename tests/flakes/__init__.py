"""Runs the suite again and again, to find the tests that do not always hold."""
