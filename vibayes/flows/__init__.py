"""Bijections that turn simple noise into the shape of a posterior, and formulas of them."""

from vibayes.flows.affine_coupling import AffineCouplingFlow
from vibayes.flows.base import Flow
from vibayes.flows.formula import as_flows, as_formula
from vibayes.flows.full_affine import FullAffineFlow
from vibayes.flows.householder import HouseholderFlow
from vibayes.flows.iaf import InverseAutoregressiveFlow
from vibayes.flows.loc import LocFlow
from vibayes.flows.planar import PlanarFlow
from vibayes.flows.radial import RadialFlow
from vibayes.flows.scale import ScaleFlow
from vibayes.flows.spline_coupling import SplineCouplingFlow

__all__ = [
    "AffineCouplingFlow",
    "Flow",
    "FullAffineFlow",
    "HouseholderFlow",
    "InverseAutoregressiveFlow",
    "LocFlow",
    "PlanarFlow",
    "RadialFlow",
    "ScaleFlow",
    "SplineCouplingFlow",
    "as_flows",
    "as_formula",
]
