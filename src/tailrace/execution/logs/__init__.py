"""Logs of tries: where they are, when their lines were written, and what is masked in them."""
