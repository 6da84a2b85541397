"""Workers: take tries, claim them, see their processes through, and report."""
