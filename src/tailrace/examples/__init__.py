"""DAG files that ship with Tailrace. They load only when named, and are never scheduled."""
