"""Draws a DAG: its tasks and groups as a graph, in the formats of other tools."""
