"""PyMC models as they are: their random variables, log densities and transforms, fitted here."""
