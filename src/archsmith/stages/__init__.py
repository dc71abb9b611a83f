"""The stages of a search that every method shares, one file each: look, profile, finish, ship."""
