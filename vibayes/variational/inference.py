"""The methods, by the path that they have in PyMC."""

from vibayes.inference.fit import fit
from vibayes.inference.inference import Inference
from vibayes.inference.methods import ADVI, NFVI, FullRankADVI, KLqp
from vibayes.inference.svgd import ASVGD, SVGD, ImplicitGradient

__all__ = [
    "ADVI",
    "ASVGD",
    "NFVI",
    "SVGD",
    "FullRankADVI",
    "ImplicitGradient",
    "Inference",
    "KLqp",
    "fit",
]
