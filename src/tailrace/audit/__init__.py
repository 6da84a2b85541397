"""Re-checks recorded history from plain records. Shares no code with planning, so that both would have to be wrong."""
