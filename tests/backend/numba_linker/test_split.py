from vibayes.backend.numba_linker.split import LONGEST, split


def run(lines, after, scope):
    """Return what lines, and those that come after them, find."""
    calls, functions = split(lines, after, scope, "part")
    scope = dict(scope)
    for name, arguments, body in functions:
        exec("\n".join([f"def {name}({arguments}):", *("    " + line for line in body)]), scope)
    exec("\n".join([*calls, *after]), scope)
    return scope, functions


def test_few_lines_stay():
    lines = ["x1 = 1", "x2 = x1 + 1"]
    assert split(lines, ["y1 = x2"], (), "part") == (lines, [])


def test_names_of_earlier_parts_are_given_to_later_ones():
    n = 3 * LONGEST
    lines = ["x0 = 1", *(f"x{k} = x{k - 1} + x0" for k in range(1, n))]
    found, functions = run(lines, [f"y1 = x{n - 1}"], {})
    assert len(functions) == 3
    assert found["y1"] == n


def test_what_is_done_again_stays_with_what_has_done_it():
    for before in range(LONGEST // 2 - 8, LONGEST // 2 + 8):
        lines = [f"x{k} = {k}" for k in range(before)]
        lines += ["u1 = 0", "s1 = 0.0", "for i1 in range(3):", "    s1 = s1 + 1", "if u1:"]
        lines += ["    s1 = 7.0"]
        lines += [f"z{k} = s1 + {k}" for k in range(LONGEST)]
        found, functions = run(lines, ["y1 = z5"], {})
        assert len(functions) > 1
        assert found["y1"] == 8
