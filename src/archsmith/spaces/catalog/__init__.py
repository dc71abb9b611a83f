"""One torch-free file a search space: its decisions, the texts of its publishers, what lives and
what is alike, its entry."""
