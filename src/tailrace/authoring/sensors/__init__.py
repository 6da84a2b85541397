"""The sensors that ship with Tailrace."""
