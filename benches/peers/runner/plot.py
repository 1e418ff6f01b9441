"""The plot of RESULTS.md: a bar for each server and work, how many times the base it costs, on a logarithmic axis. Readable
in light and in dark."""

import math
from xml.sax.saxutils import escape

from .servers import BY_NAME, TIDEGATE

WIDTH = 960
LEFT = 270
RIGHT = 60
TOP = 64
BAR = 15
TITLE_HEIGHT = 26
GAP = 14
COLOURS = {
    "tidegate": "#1a7f5a",
    "tidegate-pgo": "#37a37c",
    "tidegate-6": "#6fb89a",
    "uws": "#b3541e",
    "uws-libdeflate": "#d08a4e",
    "bun": "#a05fb0",
    "fastwebsockets": "#3b76c4",
    "tungstenite-4k": "#5f9ea0",
    "tungstenite": "#7f8fa6",
    "ws": "#b59b2a",
    "socketio": "#8c6d5a",
    "nchan": "#6a9a3a",
}
STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.group { font-weight: 600 }
.axis { fill: #59636e; font-size: 11px }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.base { stroke: #59636e; stroke-width: 1.5 }
.ours { font-weight: 600 }
.paper { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .axis { fill: #9198a1 }
  .grid { stroke: #3d444d }
  .base { stroke: #9198a1 }
  .paper { fill: #0d1117 }
}"""


class Axis:
    """Where a ratio stands, between the powers and halves that hold all of them."""

    def __init__(self, ratios):
        self.low = min(0.9, *ratios) * 0.95
        self.high = max(2, *ratios) * 1.1

    def x(self, ratio):
        share = math.log(ratio / self.low) / math.log(self.high / self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def ticks(self):
        steps = [lead * 10**power for power in range(-2, 5) for lead in (1, 2, 5)]
        return [step for step in steps if self.low <= step <= self.high]


def text(x, y, told, kind="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(told)}</text>'


def line(x, top, bottom, kind):
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" class="{kind}"/>'


def bar(axis, y, name, ratio):
    start, end = sorted((axis.x(1), axis.x(ratio)))
    kind = "ours" if name == TIDEGATE else ""
    return [
        text(LEFT - 8, y + BAR - 4, BY_NAME[name].label, kind, "end"),
        f'<rect x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" height="{BAR - 3}" rx="2" fill="{COLOURS[name]}"/>',
        text(end + 5, y + BAR - 4, f"{ratio:.2f}", f"axis {kind}"),
    ]


def scale(axis):
    return [text(axis.x(tick), TOP - 14, f"{tick:g}", "axis", "middle") for tick in axis.ticks()]


def grid(axis, top, bottom):
    return [*(line(axis.x(tick), top, bottom, "grid") for tick in axis.ticks()), line(axis.x(1), top, bottom, "base")]


def draw(groups):
    """An SVG of the groups, from the top downwards."""
    ratios = [ratio for group in groups for ratio in group.bars.values()]
    axis = Axis(ratios or [1])
    y, bars = TOP, []
    for group in groups:
        bars.append(text(12, y + TITLE_HEIGHT - 9, f"{group.title} · {BY_NAME[group.base].label} = 1", "group"))
        y += TITLE_HEIGHT
        bars += grid(axis, y - 2, y + BAR * len(group.bars))
        for name, ratio in sorted(group.bars.items(), key=lambda each: each[1]):
            bars += bar(axis, y, name, ratio)
            y += BAR
        y += GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">'
    title = "Cost of the server, CPU time or memory, in times the base (logarithmic; less is better)"
    parts = [head, f"<title>{title}</title>", f"<style>{STYLE}</style>", f'<rect class="paper" width="{WIDTH}" height="{y}"/>']
    return "\n".join([*parts, text(12, 26, title, "title"), *scale(axis), *bars, "</svg>"]) + "\n"
