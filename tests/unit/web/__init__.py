"""The parts of the web application that need no metastore."""
