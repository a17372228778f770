"""Results: frozen, drawn, saved and read again."""
