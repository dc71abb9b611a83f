"""Searchers: each proposes candidates of a problem and hears what became of them. No torch here."""
