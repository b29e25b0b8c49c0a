"""A figure with its words and the numbers behind it."""

import base64
import html
import io
import re
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from analysis.words import as_html


@dataclass(frozen=True)
class Chart:
    """One chart of a report.

    Attributes:
        name: stem of its files, unique in a report.
        title: what it shows, as a short sentence.
        caption: how to read it, with n: trials, seeds or evaluations that it is made of.
        alt: for those who can't see it: kind of chart, axes, and what stands out, in numbers.
        numbers: what is drawn, a row a mark; hyperparameters and metrics under their own names.
    """

    name: str
    title: str
    caption: str
    alt: str
    numbers: pd.DataFrame
    figure: Figure

    def _repr_html_(self) -> str:
        """The chart in a notebook."""
        png = io.BytesIO()
        self.figure.savefig(png, format="png", dpi=80)
        data = base64.b64encode(png.getvalue()).decode()
        title, alt, caption = html.escape(self.title), html.escape(self.alt), as_html(self.caption)
        return (
            f"<figure><h4>{title}</h4><img src='data:image/png;base64,{data}' alt='{alt}'>"
            f"<figcaption>{caption}</figcaption></figure>"
        )


def stem(what: str, label: str) -> str:
    """The name of a chart of one space: 'survival', 'mine: wgan_gp' -> 'survival_mine_wgan_gp'."""
    return re.sub(r"\W+", "_", f"{what}_{label}").strip("_")
