"""Claims, reports and leases of tries, and the rows of the jobs that hold them."""
