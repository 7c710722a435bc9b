"""How good memory writers are: what they write, and what it does to other problems."""
