"""What the rest stands on and no user needs: whole files, seeds, this machine, tables of names,
progress. No torch here."""
