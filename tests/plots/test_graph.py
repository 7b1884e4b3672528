import re
import shutil

import numpy as np
import pytest

import vibayes as vb

pytest.importorskip("graphviz")


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(1)
    with vb.Model(coords={"county": ["a", "b", "c"], "obs": range(20)}) as model:
        county = vb.Data("county_idx", rng.integers(3, size=20), dims="obs")
        mu = vb.Normal("mu")
        tau = vb.HalfNormal("tau")
        level = vb.Normal("level", mu, tau, dims="county")
        scaled = vb.Deterministic("scaled", level / tau, dims="county")
        vb.Potential("soft", -(scaled.sum() ** 2))
        vb.Poisson("y", level[county] ** 2, observed=np.ones(20), dims="obs")
    return model


def edges(graph):
    return set(re.findall(r'^\s*"?([\w ]+)"? -> "?([\w ]+)"?', graph.source, flags=re.M))


def test_edges_go_to_the_nearest_named_variable(model):
    assert edges(vb.model_to_graphviz(model)) == {
        ("mu", "level"),
        ("tau", "level"),
        ("level", "scaled"),
        ("tau", "scaled"),
        ("scaled", "soft"),
        ("level", "y"),
        ("county_idx", "y"),
    }


def test_plates(model):
    source = vb.model_to_graphviz(model).source
    plates = re.findall(r"subgraph cluster_\d+ \{(.*?)\n\t\}", source, flags=re.S)
    assert len(plates) == 2
    county, obs = sorted(plates, key=lambda text: "obs (20)" in text)
    assert "county (3)" in county
    assert "level" in county
    assert "scaled" in county
    assert "county_idx" in obs
    assert 'y [label="y\n~ Poisson"' in obs
    assert "lightgray" in obs


def test_shading(model):
    source = vb.model_to_graphviz(model).source
    (free,) = re.findall(r"^\s*mu \[.*?\]", source, flags=re.M | re.S)
    assert "lightgray" not in free
    assert 'soft [label="soft\nPotential" shape=octagon]' in source


def test_without_lengths_and_some_variables(model):
    graph = vb.model_to_graphviz(model, var_names=["scaled"], include_dim_lengths=False)
    assert "label=county " in graph.source
    assert {name for edge in edges(graph) for name in edge} == {"mu", "tau", "level", "scaled"}


def test_lengths_without_dims():
    with vb.Model():
        vb.Normal("x", 0, 1, shape=(2, 3))
        graph = vb.model_to_graphviz()
    assert 'label="2 × 3"' in graph.source


def test_minibatch():
    data = np.arange(100.0)
    with vb.Model():
        mu = vb.Normal("mu")
        vb.Normal("y", mu, 1, observed=vb.Minibatch(data, 10), total_size=100)
        graph = vb.model_to_graphviz()
    assert ("mu", "y") in edges(graph)
    assert "label=10 " in graph.source


def test_nested_names():
    with vb.Model("outer"):
        x = vb.Normal("x")
        vb.Normal("y", x)
        graph = vb.model_to_graphviz()
    assert ("outer__x", "outer__y") in edges(graph)
    assert "outer::x" in graph.source


def test_unknown_variable(model):
    with pytest.raises(KeyError, match="no variable of the model 'nu'; there are county_idx, mu"):
        vb.model_to_graphviz(model, var_names=["nu"])


def test_save(model, tmp_path):
    vb.model_to_graphviz(model, save=tmp_path / "model.dot")
    assert "digraph" in (tmp_path / "model.dot").read_text()
    with pytest.raises(ValueError, match="no suffix"):
        vb.model_to_graphviz(model, save=tmp_path / "model")
    if shutil.which("dot"):
        vb.model_to_graphviz(model, save=str(tmp_path / "model.png"))
        assert (tmp_path / "model.png").read_bytes().startswith(b"\x89PNG")


def test_mermaid_has_the_same_edges(model):
    text = vb.model_to_mermaid(model)
    found = set(re.findall(r"^(\w+) --> (\w+)$", text, flags=re.M))
    assert found == edges(vb.model_to_graphviz(model))
    assert 'subgraph plate_1["obs (20)"]' in text or 'subgraph plate_0["obs (20)"]' in text
    assert 'county_idx("county_idx<br/>Data")' in text
    assert "style y fill:#ccc" in text
    assert "y([" not in vb.model_to_mermaid(model, var_names=["level"])


def test_networkx_has_the_same_edges(model):
    pytest.importorskip("networkx")
    graph = vb.model_to_networkx(model)
    assert set(graph.edges) == edges(vb.model_to_graphviz(model))
    assert graph.nodes["y"] == {"kind": "observed", "label": "y\n~ Poisson", "cluster": "obs (20)"}
    assert set(vb.model_to_networkx(model, var_names=["level"]).nodes) == {"mu", "tau", "level"}
