"""What is written from the code: parts of documents, catalogues, the registry's entry, the bundle's manifest.

``make docs`` writes all of it; ``tests/contract`` compares.
"""
