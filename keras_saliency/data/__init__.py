"""Human fixations: reading them, and feeding them to a model."""
