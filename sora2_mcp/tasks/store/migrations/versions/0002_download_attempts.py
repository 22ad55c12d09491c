"""How often a video's download was begun in vain."""

from alembic import op
from sqlalchemy import Column, Integer

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", Column("download_attempts", Integer, nullable=False, server_default="0"))
    op.execute("UPDATE schema_state SET revision = '0002'")
