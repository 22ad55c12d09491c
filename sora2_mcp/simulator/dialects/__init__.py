"""The services that the simulator stands in for, one file per dialect."""

from typing import Final

from sora2_mcp.simulator.dialects.kie import Kie
from sora2_mcp.simulator.dialects.openai import OpenAI
from sora2_mcp.simulator.dialects.openrouter import OpenRouter
from sora2_mcp.simulator.dialects.sora2api import Sora2API
from sora2_mcp.simulator.service import Dialect

# Sora2API comes last: it has no root of its own, so it answers every path that is no other's.
SPOKEN: Final[tuple[Dialect, ...]] = (OpenRouter(), OpenAI(), Kie(), Sora2API())
DIALECTS: Final = {dialect.name: dialect.base_path for dialect in reversed(SPOKEN)}
