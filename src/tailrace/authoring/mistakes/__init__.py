"""What is wrong with a DAG file and what an author is told of it, at the line where it was written."""
