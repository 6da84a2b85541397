"""What a person asks for, read and written as a whole: creation, clear, mark, trigger, pools, cleaning."""
