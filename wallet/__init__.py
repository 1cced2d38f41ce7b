"""Money: what is owed and paid, in integers of the smallest unit. Works on tables only."""
