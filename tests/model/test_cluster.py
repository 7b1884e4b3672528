import os
import platform
import signal
import subprocess
import sys

import numpy as np
import pytest

import vibayes as vb
from vibayes.exceptions import ModelError
from vibayes.model import cluster
from vibayes.model.by_rows import row_model
from vibayes.model.passes import LocalSums, computing
from vibayes.model.target import Target, goes_by_rows, row_sums

distributed = pytest.importorskip("distributed")

N = 3000
GENERATOR = np.random.default_rng(4)
X = GENERATOR.normal(size=(N, 2))
Y = GENERATOR.poisson(np.exp(0.3 * X[:, 0] + 0.5))


@pytest.fixture(scope="module")
def client():
    """Two workers, each a process."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as machines,
        distributed.Client(machines) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr("vibayes.streaming.partitions.PARTITION_BYTES", 5_000)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "x.npy"
    np.save(path, X)
    with vb.Model() as model:
        slope = vb.Normal("slope", 0, 1, shape=2)
        x = vb.Data("x", np.load(path, mmap_mode="r"), in_memory=False)  # what is observed is here
        vb.Poisson("y", vb.math.exp(x @ slope + 0.5), observed=Y, total_size=N)
    return model


def assert_as_here(model, client, rng):
    Z = 0.3 * rng.standard_normal((4, 2))
    logp, gradient = Target(model)(Z)
    with computing(client):
        target = Target(model)
        for _ in range(3):
            found = target(Z)
            np.testing.assert_allclose(found[0], logp, rtol=1e-12)
            np.testing.assert_allclose(found[1], gradient, rtol=1e-10)
    assert target.passes == 3
    return target


def test_sums_of_workers_are_those_of_this_process(model, client, rng):
    assert_as_here(model, client, rng)


PAGES = """
import resource, sys
import numpy as np
from vibayes.model.cluster import keep_freed_pages

if sys.argv[1] == "kept":
    keep_freed_pages()

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        arrays = [np.ones(15_000) for _ in range(20)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

new_pages()
print(new_pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of the C library of GNU")
def test_workers_keep_memory_that_is_freed():
    """Dask lets them give back each page at once."""
    env = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    given_back, kept = (
        int(subprocess.check_output([sys.executable, "-c", PAGES, what], env=env))
        for what in ("given back", "kept")
    )
    assert kept < 100 < given_back


def test_a_lost_worker_costs_its_part_and_nothing_else(model, client, rng, monkeypatch):
    killed = []

    def kill(futures):
        if not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)
        wait_for(futures)

    wait_for = cluster.wait_for
    monkeypatch.setattr(cluster, "wait_for", kill)
    assert_as_here(model, client, rng)
    assert len(killed) == 1


@pytest.mark.ci
def test_a_fit_by_a_cluster_is_that_of_this_process(model, client):
    here, there = (
        vb.fit(method="auto", model=model, random_seed=1, client=c) for c in (False, client)
    )
    np.testing.assert_allclose(there.mean.eval(), here.mean.eval(), rtol=1e-8)
    np.testing.assert_allclose(there.std.eval(), here.std.eval(), rtol=1e-8)
    assert there.diagnosis.good


def test_the_current_client_serves_for_data_that_are_not_in_memory_alone(model, client):
    with vb.Model() as small:
        vb.Normal("y", vb.Normal("mu"), 1, observed=Y[:9])
    with computing():
        assert isinstance(row_sums(row_model(model)), cluster.ClusterSums)
        assert not goes_by_rows(small)
    with computing(False):
        assert isinstance(row_sums(row_model(model)), LocalSums)
    with computing(client):
        assert goes_by_rows(small)


def test_blocks_of_a_function_are_sent_in_one_pass(client, rng):
    starts = []

    def blocks():
        starts.append(1)
        yield from np.array_split(X, 7)

    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 1, shape=2)
        vb.Normal("y", mu, 1, observed=vb.Minibatch(blocks, total_size=N), total_size=N)
    Z = rng.standard_normal((3, 2))
    expected = Target(model).logp(Z)
    starts.clear()
    with computing(client):
        target = Target(model)
        np.testing.assert_allclose(target.logp(Z), expected)
        np.testing.assert_allclose(target.logp(Z), expected)
    assert len(starts) == 1


def test_data_in_memory_are_sent_once(client, rng):
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 1, shape=2)
        vb.Normal("y", mu, 1, observed=X)
    Z = rng.standard_normal((3, 2))
    with computing(client):
        target = Target(model)
        assert target.by_rows
        np.testing.assert_allclose(target.logp(Z), Target(model).logp(Z))
    np.testing.assert_allclose(Target(model).logp(Z), target.logp(Z))


def test_rows_that_depend_on_each_other_are_refused(client):
    with vb.Model() as model:
        sigma = vb.HalfNormal("sigma", 1)
        vb.GaussianRandomWalk("walk", sigma=sigma, init_dist=vb.Normal.dist(), observed=X[:, 0])
    with pytest.raises(ModelError, match=r"'walk'.* not independent"):
        vb.fit(method="auto", model=model, client=client)


def test_a_client_is_checked():
    with vb.Model() as model:
        vb.Normal("x")
    with pytest.raises(TypeError, match=r"client must be .*Client, or False, got 3"):
        vb.fit(model=model, client=3)
