import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

import vibayes as vb


class Opaque(Op):
    """An operation without a gradient."""

    def make_node(self, x):
        x = pt.as_tensor_variable(x)
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = np.asarray(inputs[0] * 1.0)


@pytest.mark.parametrize(
    "fit",
    [
        lambda model: vb.fit(10, model=model, backend="py", progressbar=False),
        lambda model: vb.fit(model=model, progressbar=False),
        lambda model: vb.fit(model=model, method="laplace"),
        lambda model: vb.fit(10, model=model, method="svgd", backend="py", progressbar=False),
        lambda model: model.dlogp(),
    ],
    ids=["steps", "until it ends", "laplace", "svgd", "dlogp"],
)
def test_an_operation_without_a_gradient_is_told_with_its_variable(fit):
    with vb.Model() as model:
        mu = vb.Normal("mu")
        vb.Normal("fine", mu, 1, observed=1.0)
        vb.Normal("y", Opaque()(mu), 1, observed=1.0)
    with pytest.raises(NotImplementedError, match=r"density of 'y' has no gradient.*vb\.math"):
        fit(model)
