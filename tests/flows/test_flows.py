import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import by_default

from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.flows import (
    AffineCouplingFlow,
    Flow,
    FullAffineFlow,
    HouseholderFlow,
    InverseAutoregressiveFlow,
    LocFlow,
    PlanarFlow,
    RadialFlow,
    ScaleFlow,
    SplineCouplingFlow,
    as_flows,
    as_formula,
)

FLOWS = {
    flow.short_name: flow
    for flow in (
        LocFlow(),
        ScaleFlow(),
        FullAffineFlow(),
        PlanarFlow(),
        RadialFlow(),
        HouseholderFlow(),
        AffineCouplingFlow(hidden=5),
        InverseAutoregressiveFlow(hidden=5),
        SplineCouplingFlow(hidden=5, bins=4, bound=3.0),
    )
}
QUICK = {*FLOWS} - {"spline_coupling"}  # to rewrite
INVERTIBLE = [name for name in FLOWS if name not in ("planar", "radial")]


@pytest.fixture(params=FLOWS)
def flow(request):
    return FLOWS[request.param]


def far_params(flow, d, seed=0, spread=0.8):
    """Return parameters well away from the identity."""
    rng = np.random.default_rng(seed)
    params = flow.initial_params(d, rng)
    return {k: np.asarray(v) + spread * rng.standard_normal(np.shape(v)) for k, v in params.items()}


def constants(params):
    floatX = pytensor.config.floatX
    return {k: pt.constant(np.asarray(v, dtype=floatX), name=k) for k, v in params.items()}


def jacobian(moved, z, d):
    """Return the matrix of derivatives by autodiff; without scan, which would be compiled."""
    return pt.stack([pytensor.grad(moved[i], z, disconnected_inputs="ignore") for i in range(d)])


def compiled(flow, params, d, n):
    """Return a function of n points: the draws, and one log determinant each."""
    z = pt.matrix("z", shape=(n, d))
    moved, log_det = flow.forward(z, constants(params))
    outputs = [moved, log_det + pt.zeros(n, dtype=z.dtype)]
    return pytensor.function([z], outputs, mode=EVALUATE_MODE)


@pytest.mark.parametrize("flow", by_default(FLOWS, QUICK), indirect=True)
@pytest.mark.parametrize("d", [pytest.param(2, marks=pytest.mark.ci), 3])
def test_log_det_is_that_of_the_jacobian(flow, d):
    z = pt.vector("z", shape=(d,))
    moved, log_det = flow.forward(z, constants(far_params(flow, d)))
    outputs = [moved, log_det, jacobian(moved, z, d)]
    function = pytensor.function([z], outputs, mode="FAST_COMPILE")  # few rewrites: a large graph
    points = np.random.default_rng(1).normal(0, 2, (10, d))
    single = [function(point) for point in points]
    for _, log_det, J in single:
        assert log_det == pytest.approx(np.linalg.slogdet(J)[1], abs=1e-9)
    # many draws at once give the same as one after the other
    moved, log_det = compiled(flow, far_params(flow, d), d, len(points))(points)
    np.testing.assert_allclose(moved, [s[0] for s in single], rtol=1e-12)
    np.testing.assert_allclose(log_det, [s[1] for s in single], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("name", by_default(INVERTIBLE, QUICK))
def test_inverse(name, d):
    flow, params = FLOWS[name], far_params(FLOWS[name], d)
    z = np.random.default_rng(2).normal(0, 3, (50, d))
    zt = pt.matrix("z", shape=(50, d))
    moved, _ = flow.forward(zt, constants(params))
    again, one = evaluate(
        [flow.inverse(moved, constants(params)), flow.inverse(moved[0], constants(params))],
        {zt: z},
    )
    np.testing.assert_allclose(again, z, atol=1e-8)
    np.testing.assert_allclose(one, z[0], atol=1e-8)


@pytest.mark.parametrize("name", ["planar", "radial"])
def test_no_inverse_is_said(name):
    with pytest.raises(NotImplementedError, match="no inverse"):
        FLOWS[name].inverse(pt.vector(shape=(2,)), {})


@pytest.mark.parametrize("seed", range(3))
def test_one_dimension_is_monotone_with_the_right_slope(flow, seed):
    """In 1-d the density integrates to one where f is monotone, onto, and log f' is right."""
    grid = np.linspace(-12, 12, 20001)
    moved, log_det = compiled(flow, far_params(flow, 1, seed), 1, grid.size)(grid[:, None])
    moved = moved[:, 0]
    steps = np.diff(moved)
    assert (steps > 0).all() or (steps < 0).all()
    # density of f(noise), integrated over where it lies
    density = np.exp(-0.5 * grid**2 - 0.5 * np.log(2 * np.pi) - log_det)
    assert abs(np.trapezoid(density, moved)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", INVERTIBLE)
def test_density_integrates_to_one_in_two_dimensions(name):
    flow, params = FLOWS[name], constants(far_params(FLOWS[name], 2, spread=0.3))
    side = np.linspace(-12, 12, 241)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    y = pt.matrix("y", shape=grid.shape)
    z = flow.inverse(y, params)
    logq = (-0.5 * z**2 - 0.5 * np.log(2 * np.pi)).sum(axis=-1) - flow.forward(z, params)[1]
    total = np.exp(evaluate([logq], {y: grid})[0]).sum() * (side[1] - side[0]) ** 2
    assert total == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("name", ["planar", "radial"])
def test_area_of_a_disc_without_inverse(name):
    """The area that a disc is mapped onto, by its outline, is the integral of |det J| over it."""
    flow, params = FLOWS[name], far_params(FLOWS[name], 2)
    angle = np.linspace(0, 2 * np.pi, 4001)
    x, y = compiled(flow, params, 2, angle.size)(
        4 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    )[0].T
    outline = 0.5 * abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))
    r, t = (np.arange(400) + 0.5) / 100, np.linspace(0, 2 * np.pi, 200, endpoint=False)
    points = (r[:, None, None] * np.stack([np.cos(t), np.sin(t)], axis=-1)).reshape(-1, 2)
    log_det = compiled(flow, params, 2, len(points))(points)[1]
    area = (np.exp(log_det).reshape(400, 200).sum(axis=1) * r).sum() * 0.01 * (t[1] - t[0])
    assert area == pytest.approx(outline, rel=1e-4)


@pytest.mark.parametrize("flow", by_default(FLOWS, QUICK), indirect=True)
@pytest.mark.parametrize("d", [1, 4])
def test_starts_near_the_identity_and_can_leave_it(flow, d):
    params = flow.initial_params(d, np.random.default_rng(0))
    variables = {k: pt.as_tensor(np.asarray(v)).type(name=k) for k, v in params.items()}
    z = pt.matrix("z", shape=(100, d))
    moved, log_det = flow.forward(z, variables)
    # any objective that tells the dimensions and the tails apart
    loss = (moved**4 + pt.sin(moved.cumsum(axis=1))).sum() + log_det.sum()
    grads = pytensor.grad(loss, list(variables.values()), disconnected_inputs="ignore")
    points = np.random.default_rng(1).normal(size=(100, d))
    givens = {z: points} | {variables[k]: v for k, v in params.items()}
    moved, log_det, *grads = evaluate([moved, log_det, *grads], givens)
    if flow.short_name == "hh":  # a reflection, of the last dimension or nearly so
        moved = moved * np.where(np.arange(d) == d - 1, -1, 1)
        np.testing.assert_allclose(moved, points, atol=1.5)
    else:
        np.testing.assert_allclose(moved, points, atol=0.15)
        np.testing.assert_allclose(log_det, 0, atol=0.15)
    assert all(np.isfinite(g).all() for g in grads)
    # a direction that a reflection has in 1-d does not matter; elsewhere something has to give
    assert any((g != 0).any() for g in grads) or (flow.short_name, d) == ("hh", 1)


@pytest.mark.parametrize("flow", by_default(FLOWS, QUICK), indirect=True)
def test_gradients_are_finite(flow):
    """At parameters and points of all sizes, zero for one."""
    d = 3
    params = far_params(flow, d)
    variables = {k: pt.as_tensor(np.asarray(v)).type(name=k) for k, v in params.items()}
    z = pt.matrix("z", shape=(4, d))
    moved, log_det = flow.forward(z, variables)
    grads = pytensor.grad(
        moved.sum() + log_det.sum(), [z, *variables.values()], disconnected_inputs="ignore"
    )
    points = np.array([[0.0] * d, [5.0, -5.0, 5.0], [1e-8] * d, [1e6, -1e6, 30.0]])
    inputs, outputs = [z, *variables.values()], [moved, log_det, *grads]
    function = pytensor.function(inputs, outputs, mode=EVALUATE_MODE, on_unused_input="ignore")
    for size in (0.0, 1e-3, 1e3):
        if flow.short_name in ("scale", "full_affine"):
            size = 1.0  # exp(1000) cannot be represented
        for value in function(points, *(size * v for v in params.values())):
            assert np.isfinite(value).all(), size


def test_float32(flow, float32):
    z = pt.matrix("z", shape=(20, 3))
    params = far_params(flow, 3)
    moved, log_det = flow.forward(z, constants(params))
    assert moved.dtype == log_det.dtype == "float32"
    points = np.random.default_rng(1).normal(size=(20, 3))
    moved, log_det = evaluate([moved, log_det], {z: points.astype("float32")})
    with pytensor.config.change_flags(floatX="float64"):
        expected, expected_det = compiled(flow, params, 3, 20)(points)
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(log_det + np.zeros(20), expected_det, rtol=1e-4, atol=1e-4)


def test_triangular_dependence_of_the_autoregressive_passes():
    """Up and down each have a triangular Jacobian, which the whole flow does not."""
    flow = InverseAutoregressiveFlow(hidden=7)
    z = pt.vector("z", shape=(4,))
    params = constants(far_params(flow, 4))
    up, down = (flow.steer(z, name, params)[0] for name in ("up", "down"))
    jacobians = [jacobian(g, z, 4) for g in (up, down, flow.forward(z, params)[0])]
    up, down, both = evaluate(jacobians, {z: np.ones(4)})
    assert (np.triu(up) == 0).all()
    assert (up[np.tril_indices(4, -1)] != 0).all()
    assert (np.tril(down) == 0).all()
    assert (down[np.triu_indices(4, 1)] != 0).all()
    assert (both != 0).all()


def test_spline_is_the_identity_outside():
    flow = FLOWS["spline_coupling"]
    z = np.array([[-3.0, 3.0], [4.0, -5.0], [-100.0, 3.1]])
    moved, log_det = compiled(flow, far_params(flow, 2), 2, 3)(z)
    np.testing.assert_allclose(moved, z, rtol=1e-12)
    np.testing.assert_allclose(log_det, 0, atol=1e-12)


def test_spline_passes_through_its_knots_with_its_slopes():
    flow = SplineCouplingFlow(bins=2, bound=1.0)
    # widths 1:3, heights 3:1, slope 2 at the inner knot
    raw = np.array([[-np.log(3) / 2, np.log(3) / 2, np.log(3) / 2, -np.log(3) / 2, 0.0]])
    raw[0, 4] = np.log(2)
    raw = 5 * np.arctanh(raw / 5)
    x = 2 * (1e-3 + (1 - 2e-3) / 4) - 1
    z = np.array([[-1.0], [x], [1.0]])
    zt = pt.matrix("z", shape=(3, 1))
    moved, log_slope = evaluate(flow.bend(zt, pt.constant(np.repeat(raw, 3, axis=0))), {zt: z})
    np.testing.assert_allclose(moved[:, 0], [-1, -x, 1], atol=1e-12)
    np.testing.assert_allclose(np.exp(log_slope[:, 0]), [1, 2, 1], rtol=1e-12)


def test_impossible_splines():
    with pytest.raises(ValueError, match="bins must be a whole number of at least 2, got 1"):
        SplineCouplingFlow(bins=1)
    with pytest.raises(ValueError, match="a positive bound"):
        SplineCouplingFlow(bound=0.0)


# -- formulas -----------------------------------------------------------------------------------


def test_formula():
    flows = as_flows("scale-hh*5-radial*4-loc")
    names = ["scale", *["hh"] * 5, *["radial"] * 4, "loc"]
    assert [flow.short_name for flow in flows] == names
    assert as_formula(flows) == "scale-hh*5-radial*4-loc"
    assert len(as_flows("planar*16")) == 16
    assert as_flows("planar") == (PlanarFlow(),)
    assert as_flows(" Scale - PLANAR * 2 ") == (ScaleFlow(), PlanarFlow(), PlanarFlow())


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("householder", "hh"),
        ("affine", "full_affine"),
        ("realnvp", "affine_coupling"),
        ("spline", "spline_coupling"),
    ],
)
def test_aliases(alias, name):
    assert as_flows(alias) == as_flows(name)


def test_flows_as_objects():
    wide = AffineCouplingFlow(hidden=64)
    assert as_flows(wide) == (wide,)
    assert as_flows([ScaleFlow(), wide, "planar*2", LocFlow]) == (
        ScaleFlow(),
        wide,
        PlanarFlow(),
        PlanarFlow(),
        LocFlow(),
    )
    assert wide != AffineCouplingFlow()
    assert len({AffineCouplingFlow(), AffineCouplingFlow(), wide, ScaleFlow(), ScaleFlow()}) == 3


@pytest.mark.parametrize(
    "formula",
    ["", "planar*", "planar*0", "planar*-1", "planar*x", "planar--loc", "planar**2", "*2"],
)
def test_bad_formulas(formula):
    with pytest.raises(ValueError, match=r"cannot read .*known are .*planar"):
        as_flows(formula)


def test_unknown_flow():
    with pytest.raises(ValueError, match=r"'planr' is unknown; known are .*hh.*planar"):
        as_flows("scale-planr*4")
    with pytest.raises(ValueError, match="at least one"):
        as_flows([])
    with pytest.raises(TypeError, match="flow must be"):
        as_flows(3)


def test_a_flow_of_ones_own_is_known_once_it_is_defined():
    class Twice(Flow):
        short_name = "twice_test"

        def initial_params(self, d, rng):
            return {}

        def forward(self, z, params):
            return 2 * z, pt.as_tensor(z.type.shape[-1] * np.log(2))

    try:
        assert as_flows("twice_test*2") == (Twice(), Twice())
    finally:
        Flow.known.remove(Twice)
