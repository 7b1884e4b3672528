"""Draw the README's badges, of what pyproject.toml says: ``python docs/figures/badges.py``."""

from __future__ import annotations

import tomllib
from pathlib import Path

HERE = Path(__file__).parent
PYPROJECT = HERE.parents[1] / "pyproject.toml"
HEIGHT = 20  # pixels, as those that people know
LETTER = 6.6  # pixels, the mean width of a letter at a size of 11
MARGIN = 6

SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height}" role="img" \
aria-label="{name}: {value}">
<title>{name}: {value}</title>
<clipPath id="r"><rect width="{width:g}" height="{height}" rx="3"/></clipPath>
<g clip-path="url(#r)">
<rect width="{left:g}" height="{height}" fill="#555"/>
<rect x="{left:g}" width="{right:g}" height="{height}" fill="#2f6f9f"/>
</g>
<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="{left_middle:g}" y="14">{name}</text>
<text x="{right_middle:g}" y="14">{value}</text>
</g>
</svg>
"""


def badge(name: str, value: str) -> str:
    """Return a picture of a name beside a value."""
    left, right = (round(LETTER * len(text) + 2 * MARGIN) for text in (name, value))
    return SVG.format(
        name=name,
        value=value,
        height=HEIGHT,
        left=left,
        right=right,
        width=left + right,
        left_middle=left / 2,
        right_middle=left + right / 2,
    )


def badges() -> dict[str, str]:
    """Return the picture of each badge."""
    settings = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    project = settings["project"]
    language = "Programming Language :: Python :: 3."
    minors = [int(c.removeprefix(language)) for c in project["classifiers"] if language in c]
    return {
        "python": badge("python", f"3.{min(minors)} – 3.{max(minors)}"),
        "licence": badge("licence", project["license"]),
        "types": badge("types", "mypy" if "mypy" in settings["tool"] else "unchecked"),
    }


if __name__ == "__main__":
    for name, picture in badges().items():
        (HERE / f"badge_{name}.svg").write_text(picture, encoding="utf-8")
