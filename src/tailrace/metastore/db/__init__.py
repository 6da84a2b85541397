"""The connection, its transactions and clocks, the tables: what every other part of the metastore stands on."""
