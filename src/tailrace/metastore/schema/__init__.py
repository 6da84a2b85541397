"""Which revision the tables have, and how an older metastore is brought to the newest."""
