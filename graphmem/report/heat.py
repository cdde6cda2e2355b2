"""A share of the peak -> its colour: one scale, light to dark, for pages, pictures and viewers."""

from __future__ import annotations

# (fill, ink) of equal steps from 0 to the peak; read in print and by most colour-blind eyes.
HEAT = (
    ("#fff7dc", "#000000"),
    ("#ffe3a1", "#000000"),
    ("#fdc36a", "#000000"),
    ("#fc9a4a", "#000000"),
    ("#f26c35", "#ffffff"),
    ("#d5302a", "#ffffff"),
    ("#a50f15", "#ffffff"),
)
PEAK = "#6a0dad"


def heat(share: float) -> tuple[str, str]:
    """Fill and ink of a share in 0..1."""
    return HEAT[min(len(HEAT) - 1, int(share * len(HEAT)))]
