"""Writes everything anew: ``python -m tools.docs``."""

import logging
import os

import anyio

from sora2_mcp.settings import PREFIX
from tools.docs import bundle, catalogue, configuration, parts, registry
from tools.docs.files import ROOT, as_json, documents, write


def main() -> None:
    """Catalogues come first: tables of tools and the manifest are made from them."""
    for service in catalogue.SERVICES:
        write(catalogue.kept(service), as_json(anyio.run(catalogue.published, service), indent=1))
    write(ROOT / ".env.example", configuration.env_example())
    write(registry.ENTRY, as_json(registry.filled_in(registry.entry())))
    write(bundle.MANIFEST, as_json(anyio.run(bundle.filled_in, bundle.manifest())))
    for document in documents():
        write(document, parts.filled_in(document.read_text(encoding="utf-8")))


# The developer's own settings must not show.
for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
    del os.environ[name]
logging.basicConfig(level=logging.WARNING)
main()
