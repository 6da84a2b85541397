"""One snapshot in, one plan out of it written: what a job reads and what becomes of what it decided."""
