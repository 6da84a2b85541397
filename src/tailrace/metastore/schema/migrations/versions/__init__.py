"""The history of the schema, one file a revision. A released revision is never edited."""
