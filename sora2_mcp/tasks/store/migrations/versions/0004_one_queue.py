"""The table as the only queue: hints of callbacks, and which process changed a row last."""

from alembic import op
from sqlalchemy import BigInteger, Column, String, Text, text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", Column("changed_by", String(64)))
    op.add_column("tasks", Column("hinted_at", BigInteger))
    op.add_column("tasks", Column("hinted_id", Text))
    for name, column in (("tasks_hinted", "hinted_at"), ("tasks_sending", "sending_until")):
        condition = text(f"{column} IS NOT NULL")
        op.create_index(name, "tasks", ["service", column], sqlite_where=condition, postgresql_where=condition)
    op.execute("UPDATE schema_state SET revision = '0004'")
