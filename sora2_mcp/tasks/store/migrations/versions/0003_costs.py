"""What a task was ordered with and has cost at services beside the first, and ids longer than any of that one's."""

from alembic import op
from sqlalchemy import Column, Float, Integer, String, Text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", Column("seconds", Integer, nullable=False, server_default="0"))
    op.add_column("tasks", Column("retention_days", Integer, server_default="15"))
    op.add_column("tasks", Column("price_unit", String(20), nullable=False, server_default="credits"))
    op.add_column("tasks", Column("cost", Float))
    if op.get_bind().dialect.name == "postgresql":
        # SQLite holds texts of any length in every column, and cannot change one.
        op.alter_column("tasks", "task_id", type_=Text)
    op.execute("UPDATE schema_state SET revision = '0003'")
