"""A run folder: what was asked, decided and spent, safe from kill -9, a full disk and a second
process. No torch here."""
