"""The generated parts of the documents, each from what it describes. ``make docs`` writes them anew."""
