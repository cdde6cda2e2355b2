"""The records that every other room speaks in: frozen, standard library and numpy only."""
