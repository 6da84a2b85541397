"""Runs the packaged Alembic migrations inside a transaction that is already open. Imported only when one is due."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from tailrace.metastore.db.transaction import Transaction


def configuration(tx: Transaction) -> Config:
    """Alembic's configuration, pointing at the migrations of the installed package and at this transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = tx.connection
    return config


def upgrade(tx: Transaction, revision: str) -> None:
    """Bring the schema to ``revision``; it lands when the transaction commits."""
    command.upgrade(configuration(tx), revision)
