import pickle
import threading
import time

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph import graph_replace
from scipy import stats

import vibayes as vb
from vibayes.exceptions import ModelError, ShapeError, StreamError
from vibayes.streaming import arrays_on_disk

ROWS, COLUMNS = 600, 2
TRUTH = np.array([1.0, -0.5])


def data(seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(ROWS, COLUMNS))
    return X, X @ TRUTH + 0.5 * rng.normal(size=ROWS)


def blocks_of(X, y, size=47):
    """A function of blocks, as a user would write it."""

    def blocks():
        for start in range(0, len(y), size):
            yield X[start : start + size], y[start : start + size]

    return blocks


def regression(X, y, total=ROWS):
    with vb.Model() as model:
        beta = vb.Normal("beta", 0, 5, shape=COLUMNS)
        vb.Normal("y", X @ beta, 0.5, observed=y, total_size=total)
    return model


def streamed(batch_size=50, source=None, **kwargs):
    source = blocks_of(*data()) if source is None else source
    kwargs.setdefault("total_size", ROWS)
    return regression(*vb.Minibatch(source, batch_size=batch_size, **kwargs))


def advi(model, seed=1):
    return vb.ADVI(model=model, random_seed=seed)


def fit(inference, n, **kwargs):
    kwargs.setdefault("obj_optimizer", vb.adam(learning_rate=0.05))
    return inference.fit(n, backend="py", progressbar=False, **kwargs)


def params(approx):
    return np.concatenate([p.get_value().ravel() for p in approx.params])


def readers():
    return [t for t in threading.enumerate() if t.name == "vibayes-reader"]


@pytest.fixture(autouse=True)
def _readers_end():
    yield
    assert readers() == []


@pytest.fixture(scope="module")
def model():
    return streamed()


# -- the tensor ---------------------------------------------------------------------------------


def test_shapes_and_types():
    X, y = vb.Minibatch(blocks_of(*data()), batch_size=50, total_size=ROWS)
    assert (X.batch_shape, y.batch_shape) == ((50, COLUMNS), (50,))
    assert (X.whole_shape, y.whole_shape) == ((ROWS, COLUMNS), (ROWS,))
    assert X.stream is y.stream
    assert X.stream.total_size == ROWS
    assert X.type.ndim == 2
    assert [X.name, y.name] == ["Minibatch_0", "Minibatch_1"]
    assert "blocks_of" in str(X.stream)
    assert X.clone().owner is None


def test_outside_of_a_fit_it_shows_rows_of_the_first_block():
    values, response = data()
    X, y = vb.Minibatch(blocks_of(values, response), batch_size=20, total_size=ROWS)
    function = pytensor.function([], [X, y], mode="FAST_COMPILE")
    for start in (0, 20, 0):
        np.testing.assert_array_equal(function()[0], values[start : start + 20])
    np.testing.assert_array_equal(function()[1], response[20:40])


def test_a_batch_may_be_larger_than_a_block():
    X, _ = vb.Minibatch(blocks_of(*data(), size=3), batch_size=50, total_size=ROWS)
    assert X.eval(mode="FAST_COMPILE").shape == (50, COLUMNS)


def test_one_array_gives_one_tensor():
    x = vb.Minibatch(lambda: iter([np.arange(10.0)]), batch_size=4, total_size=10)
    assert x.batch_shape == (4,)
    assert x.name == "Minibatch"


@pytest.mark.parametrize(
    ("given", "dtype", "kind"),
    [("float64", None, "floatX"), ("int16", None, "int16"), ("bool", None, "int8"),
     ("float64", "float32", "float32"), ("int64", "float64", "float64")],
)  # fmt: skip
def test_dtypes(float32, given, dtype, kind):
    x = vb.Minibatch(lambda: iter([np.ones(10, given)]), 4, dtype=dtype, total_size=10)
    assert x.dtype == (pytensor.config.floatX if kind == "floatX" else kind)


def test_dtype_of_each_part():
    X, y = vb.Minibatch(
        blocks_of(*data()), batch_size=4, total_size=ROWS, dtype=["float32", "float64"]
    )
    assert (X.dtype, y.dtype) == ("float32", "float64")


BAD = [
    (dict(total_size=None), ValueError, r"blocks_of.*give total_size=\.\.\."),
    (dict(total_size=0), ValueError, "total_size must be a whole number of at least 1"),
    (dict(batch_size=0), ValueError, "batch_size must be a whole number of at least 1"),
    (dict(batch_size=-3), ValueError, "batch_size must be a whole number of at least 1"),
    (dict(batch_size=2.5), ValueError, "batch_size must be a whole number of at least 1"),
    (dict(batch_size=[10, None]), ValueError, "batch_size must be a whole number of at least 1"),
    (dict(batch_size=ROWS + 1), ShapeError, "batch_size 601 is more than the 600 rows"),
    (dict(replace=True), ValueError, "come once an epoch"),
    (dict(in_memory_size=100), TypeError, "in_memory_size is for data in memory"),
    (dict(update_shared_f="data"), TypeError, "update_shared_f is for data in memory"),
    (dict(random_seed=-1), ValueError, "random_seed must be"),
    (dict(buffer_bytes=0), ValueError, "buffer_bytes must be a whole number of at least 1"),
    (dict(dtype="object"), TypeError, "dtype must be one of numbers"),
    (dict(dtype=["float64"]), ShapeError, "1 entries for 2 variables"),
    (dict(columns="y"), TypeError, "columns must be a list"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD, ids=str)
def test_bad_input(arguments, error, message):
    arguments = dict(batch_size=10, total_size=ROWS) | arguments
    with pytest.raises(error, match=message):
        vb.Minibatch(blocks_of(*data()), **arguments)


def test_sources_that_fail_at_once():
    def broken():
        raise OSError("no such host")

    with pytest.raises(StreamError, match=r"broken.*could not be started: OSError: no such host"):
        vb.Minibatch(broken, batch_size=1, total_size=10)
    with pytest.raises(StreamError, match="could not be started: TypeError"):
        vb.Minibatch(lambda: 3, batch_size=1, total_size=10)
    with pytest.raises(ValueError, match="there are no data"):
        vb.Minibatch(lambda: iter([]), batch_size=1, total_size=10)


def test_without_total_size_of_the_likelihood_there_is_a_warning(model):
    X, y = vb.Minibatch(blocks_of(*data()), batch_size=50, total_size=ROWS)
    with pytest.warns(UserWarning, match=r"total_size=\(600,\)"):
        regression(X, y, None)


# -- fits ---------------------------------------------------------------------------------------


def test_fit_agrees_with_the_exact_posterior(model):
    X, y = data()
    precision = X.T @ X / 0.25 + np.eye(COLUMNS) / 25
    exact = np.linalg.solve(precision, X.T @ y / 0.25)
    sd = 1 / np.sqrt(np.diag(precision))
    for seed in (1, 2):
        inference = advi(model, seed)
        fit(inference, 200)
        fit(inference, 300, obj_optimizer=vb.adam(learning_rate=0.002))
        np.testing.assert_allclose(inference.approx.mean.eval(), exact, atol=0.7 * sd.max())


def test_every_row_is_used_once_an_epoch():
    """Rows are powers of two, and steps add them up: what is summed tells which there were."""
    rows, size = 20, 4
    x = vb.Minibatch(
        lambda: iter([np.arange(7), np.arange(7, 20)]), batch_size=size, total_size=rows
    )
    total = pytensor.shared(np.int64(0), name="total")
    with vb.Model() as tiny:
        mu = vb.Normal("mu")
        vb.Normal("y", mu, 1, observed=x, total_size=rows)
    sums = []
    fit(
        vb.ADVI(model=tiny, random_seed=1),
        30,
        more_updates={total: total + pt.sum(2**x)},
        callbacks=[lambda *args: sums.append(int(total.get_value()))],
    )
    batches = np.diff([0, *sums])
    epochs = [batches[i : i + 5] for i in range(0, 30, 5)]
    assert all(sum(epoch.tolist()) == 2**rows - 1 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_chunks_callbacks_and_interrupts_change_nothing(model):
    whole = fit(advi(model), 60)
    stepwise = fit(advi(model), 60, callbacks=[lambda *args: None])
    np.testing.assert_array_equal(stepwise.hist, whole.hist)

    def stop(approx, losses, i):
        if i == 17:
            raise KeyboardInterrupt

    parts = advi(model)
    fit(parts, 60, callbacks=[stop])
    assert len(parts.hist) == 17
    assert readers() == []
    parts.refine(20, progressbar=False)
    parts.refine(23, progressbar=False)
    np.testing.assert_array_equal(parts.hist, whole.hist)
    np.testing.assert_array_equal(params(parts.approx), params(whole))


def test_seeds(model):
    a, b, c = (fit(advi(model, seed), 30).hist for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    other = fit(advi(streamed(random_seed=7)), 30).hist
    assert not np.array_equal(a, other)


def test_a_new_fit_starts_the_stream_anew(model):
    def rows_of_first_steps(inference):
        return fit(inference, 5, obj_optimizer=vb.sgd(learning_rate=0.0)).hist[-5:]

    inference = advi(model)
    first = rows_of_first_steps(inference)
    again = rows_of_first_steps(inference)
    assert not np.array_equal(first, again)  # with a seed of its own, from that of the inference


def test_fits_that_take_turns_do_not_influence_each_other(model):
    a, b = advi(model, 1), advi(model, 2)
    fit(a, 5)
    fit(b, 11)
    a.refine(20, progressbar=False)
    b.refine(9, progressbar=False)
    a.refine(5, progressbar=False)
    np.testing.assert_array_equal(a.hist, fit(advi(model, 1), 30).hist)
    np.testing.assert_array_equal(b.hist, fit(advi(model, 2), 20).hist)


def test_fits_in_threads(model):
    expected = [fit(advi(model, seed), 40).hist for seed in range(4)]
    found = {}

    def work(seed):
        found[seed] = fit(advi(model, seed), 40).hist

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        np.testing.assert_array_equal(found[seed], expected[seed])


def test_a_second_fit_compiles_nothing(model):
    inference = advi(model)
    fit(inference, 1)
    steps = inference.last_run.loop.steps
    other = advi(model, 3)
    fit(other, 1)
    assert other.last_run.loop.steps is steps


def test_several_draws_a_step_and_single_precision(float32):
    approx = fit(advi(streamed()), 150, obj_n_mc=3)
    np.testing.assert_allclose(approx.mean.eval(), TRUTH, atol=0.15)
    assert approx.params[0].dtype == "float32"


@pytest.mark.parametrize("method", ["fullrank_advi", "svgd"])
def test_other_methods(model, method):
    approx = vb.fit(
        200,
        method=method,
        model=model,
        random_seed=1,
        obj_optimizer=vb.adam(learning_rate=0.05),
        progressbar=False,
        backend="py",
    )
    means = approx.sample(500, random_seed=1).posterior["beta"].mean(("chain", "draw"))
    np.testing.assert_allclose(means, TRUTH, atol=0.15)


def test_local_variables():
    """An encoder of the rows that stream by."""
    x = vb.Minibatch(blocks_of(*data()), batch_size=50, total_size=ROWS)[1]
    slope = pytensor.shared(np.array(0.0), name="slope")
    with vb.Model() as local:
        z = vb.Normal("z", 0, 1, size=x.shape, total_size=ROWS)
        vb.Normal("y", z, 0.5, observed=x, total_size=ROWS)
    inference = vb.ADVI({z: (slope * x, pt.full_like(x, -1.0))}, model=local, random_seed=1)
    fit(inference, 400, more_obj_params=[slope])
    # the posterior mean of z is x / (1 + 0.5²)
    np.testing.assert_allclose(slope.get_value(), 0.8, atol=0.05)


def test_wait_seconds(monkeypatch):
    def slow():
        for X, y in blocks_of(*data())():
            time.sleep(0.01)
            yield X, y

    inference = advi(streamed(source=slow))
    assert inference.wait_seconds == 0
    fit(inference, 12)  # an epoch is 13 blocks
    assert 0.1 < inference.wait_seconds < 10
    inference = advi(regression(*data()))
    fit(inference, 3)
    assert inference.wait_seconds == 0


def test_no_steps_read_nothing(model):
    inference = advi(model)
    fit(inference, 0)
    assert inference.last_run.loop.feeds.wait_seconds == 0
    inference.refine(3, progressbar=False)
    assert len(inference.hist) == 3


# -- faults -------------------------------------------------------------------------------------


class Fragile:
    """Blocks of 50 rows, of which one is bad in the second epoch until it is mended."""

    def __init__(self, what):
        self.what, self.calls, self.broken = what, 0, True

    def __call__(self):
        self.calls += 1
        for number, (X, y) in enumerate(blocks_of(*data(), size=50)()):
            bad = self.broken and number == 3 and self.calls > 2  # the first call is a look
            yield self.what(X, y) if bad else (X, y)


def raising(X, y):
    raise OSError("the disk is gone")


def with_nan(X, y):
    y = y.copy()
    y[20] = np.nan
    return X, y


FAULTS = [
    (raising, "block 3, row 150: reading failed: OSError: the disk is gone"),
    (with_nan, "block 3, row 170: the value of part 1 is NaN"),
    (lambda X, y: (X[:, :1], y), r"block 3, row 150: rows of part 0 have shape \(1,\)"),
    (lambda X, y: (X, y[:-1]), "different numbers of rows"),
]


@pytest.mark.parametrize(("what", "message"), FAULTS)
def test_a_fault_keeps_the_last_good_state_and_refine_goes_on(what, message):
    source = Fragile(what)
    whole = fit(advi(streamed(source=blocks_of(*data(), size=50))), 60)
    inference = advi(streamed(source=source))
    with pytest.raises(StreamError, match=message) as error:
        fit(inference, 60)
    assert "Fragile" in str(error.value)
    assert error.value.block == 3
    done = len(inference.hist)
    assert done == 12  # the epoch before, which is smaller than the buffer
    np.testing.assert_array_equal(inference.hist, whole.hist[:done])
    inference.approx.sample(5)
    assert readers() == []
    with pytest.raises(StreamError, match=message):
        inference.refine(60 - done, progressbar=False)
    assert len(inference.hist) == done
    source.broken = False
    inference.refine(60 - done, progressbar=False)
    np.testing.assert_array_equal(inference.hist, whole.hist)
    np.testing.assert_array_equal(params(inference.approx), params(whole))


def test_what_is_read_ahead_is_no_reason_to_fail():
    inference = advi(streamed(source=Fragile(raising)))
    fit(inference, 12)
    assert len(inference.hist) == 12


def test_a_breakdown_is_traced_to_its_step_within_a_window():
    X, y = data()
    y[333] = 1e200  # its square is no number any more
    model = streamed(source=blocks_of(X, y, size=50))
    inference = advi(model)
    with pytest.raises(FloatingPointError, match="iteration"):
        fit(inference, 60)
    done = len(inference.hist)
    assert np.isfinite(inference.hist).all()
    stepwise = advi(model)
    with pytest.raises(FloatingPointError, match=f"iteration {done + 1}:"):
        fit(stepwise, 60, callbacks=[lambda *args: None])
    np.testing.assert_array_equal(stepwise.hist, inference.hist)


def test_the_reader_ends_when_a_callback_fails(model):
    def fail(approx, losses, i):
        raise RuntimeError("broken callback")

    with pytest.raises(RuntimeError, match="broken callback"):
        fit(advi(model), 60, callbacks=[fail])
    assert readers() == []


def test_streams_that_look_as_if_of_the_same_rows(tmp_path):
    X, y = data()
    for name, values in (("X", X), ("y", y)):
        np.save(tmp_path / f"{name}.npy", values)
    X_file, y_file = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "Xy")

    def model_of(first, second, **kwargs):
        return regression(
            vb.Minibatch(first, batch_size=50), vb.Minibatch(second, batch_size=50, **kwargs)
        )

    for first, second in [(X_file, y_file), (X, y_file), (X_file, y)]:
        with pytest.raises(ShapeError, match="make them together"):
            fit(advi(model_of(first, second)), 5)
    fit(advi(model_of(X_file, y_file, random_seed=1)), 5)
    X, y = vb.Minibatch(X_file, y_file, batch_size=50)
    approx = fit(advi(regression(X, y)), 150)
    np.testing.assert_allclose(approx.mean.eval(), TRUTH, atol=0.15)


# -- after the fit ------------------------------------------------------------------------------


def test_test_data_can_be_put_in_its_place():
    X, y = vb.Minibatch(blocks_of(*data()), batch_size=50, total_size=ROWS)
    model = regression(X, y)
    approx = fit(advi(model), 200)
    assert approx.sample(20, random_seed=1).posterior["beta"].shape == (1, 20, COLUMNS)
    new = np.random.default_rng(1).normal(size=(7, COLUMNS))
    prediction = approx.sample_node(
        X @ model["beta"], size=30, more_replacements={X.minibatch: new}
    )
    values = prediction.eval(mode="FAST_COMPILE")
    assert values.shape == (30, 7)
    np.testing.assert_allclose(values.mean(0), new @ TRUTH, atol=0.3)


def test_log_density_of_data_in_its_place():
    values, response = data()
    X, y = vb.Minibatch(blocks_of(values, response), batch_size=50, total_size=ROWS)
    model = regression(X, y)
    swap = {X.minibatch: pt.constant(values), y.minibatch: pt.constant(response)}
    (logp,) = graph_replace([model.logp()], swap)
    expected = regression(values, response, None).logp()
    point = {"beta": TRUTH}
    assert float(logp.eval({model.value_vars[0]: TRUTH}, mode="FAST_COMPILE")) == pytest.approx(
        float(expected.eval({expected_value(expected): TRUTH}, mode="FAST_COMPILE"))
    )
    assert point


def expected_value(graph):
    from pytensor.graph.traversal import explicit_graph_inputs

    return next(iter(explicit_graph_inputs([graph])))


def test_the_whole_data_are_not_to_be_had(model):
    with pytest.raises(ModelError, match=r"not in memory.*more_replacements=.*\.minibatch"):
        model.whole_data_replacements()


@pytest.mark.parametrize("rows", [1, 73, ROWS, 10 * ROWS])
def test_a_sample_stands_for_the_whole_data(rows):
    values, response = data()
    X, y = vb.Minibatch(blocks_of(values, response), batch_size=50, total_size=ROWS)
    model = regression(X, y)
    replacements = model.sampled_data_replacements(rows, random_seed=1)
    sample_X, sample_y = (replacements[m.minibatch].get_value() for m in (X, y))
    count = min(rows, ROWS)
    assert sample_X.shape == (count, COLUMNS)
    at = [np.flatnonzero((values == row).all(axis=1)).item() for row in sample_X]
    assert len(set(at)) == count
    np.testing.assert_array_equal(sample_y, response[at])
    logp = graph_replace(model.logp(), replacements)
    beta = np.array([0.3, 0.2])
    found = float(logp.eval({model.value_vars[0]: beta}, mode="FAST_COMPILE"))
    terms = stats.norm(sample_X @ beta, 0.5).logpdf(sample_y)
    assert found == pytest.approx(stats.norm(0, 5).logpdf(beta).sum() + ROWS * terms.mean())


def test_seeds_of_samples(model):
    def sample(seed):
        return [v.get_value() for v in model.sampled_data_replacements(20, seed).values()]

    for a, b, c in zip(sample(1), sample(1), sample(2), strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


def test_samples_leave_fits_alone_and_are_of_data_in_memory_too():
    values, response = data()
    X, y = vb.Minibatch(blocks_of(values, response), batch_size=50, total_size=ROWS)
    model = regression(X, y)
    expected = fit(advi(model), 30).hist
    inference = advi(model)
    fit(inference, 11)
    with model:
        other = vb.Minibatch(response, 50, random_seed=3)
        vb.Normal("other", model["beta"][0], 1, observed=other, total_size=ROWS)
    replacements = model.sampled_data_replacements(7)
    assert len(set(replacements[other.minibatch].get_value()) & set(response)) == 7
    assert replacements[y.minibatch].get_value().shape == (7,)
    inference.refine(19, progressbar=False)
    np.testing.assert_array_equal(inference.hist, expected)


def test_samples_of_bad_size_and_of_bad_data():
    source = Fragile(raising)
    model = streamed(source=source)
    for rows, error in [(0, ValueError), (2.5, ValueError)]:
        with pytest.raises(error, match="sampled_data_replacements: rows must be"):
            model.sampled_data_replacements(rows)
    source.calls = 5
    with pytest.raises(StreamError, match="the disk is gone"):
        model.sampled_data_replacements(ROWS)


@pytest.mark.parametrize("kind", ["mapped", "parquet"])
def test_a_model_of_files_can_be_pickled_and_its_data_stay_where_they_are(
    tmp_path, kind, monkeypatch
):
    monkeypatch.setattr(arrays_on_disk, "BLOCK_BYTES", 20_000)
    values = np.random.default_rng(1).normal(size=(ROWS, 200))
    if kind == "mapped":
        np.save(tmp_path / "X.npy", values)
        source = np.load(tmp_path / "X.npy", mmap_mode="r")
    else:
        pyarrow, parquet = map(pytest.importorskip, ("pyarrow", "pyarrow.parquet"))
        parquet.write_table(pyarrow.table({"a": values[:, 0]}), tmp_path / "X.parquet")
        source = tmp_path / "X.parquet"
    x = vb.Minibatch(source, batch_size=50, buffer_bytes=10_000)
    x = x["a"] if kind == "parquet" else x
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 1.0, observed=x, total_size=ROWS)
    expected = fit(advi(model), 20).hist
    dumped = pickle.dumps(model)
    assert len(dumped) < values.nbytes / 4
    copied = pickle.loads(dumped)
    np.testing.assert_array_equal(fit(advi(copied), 20).hist, expected)


def test_a_model_can_be_pickled_if_its_source_can():
    cloudpickle = pytest.importorskip("cloudpickle")
    model = streamed()
    copy = pickle.loads(cloudpickle.dumps(model))
    np.testing.assert_array_equal(fit(advi(copy), 20).hist, fit(advi(model), 20).hist)
