"""The arguments of DAGs, tasks and sensors: each declared once, with its type, what reads it and what it means."""
