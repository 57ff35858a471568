# SPDX-License-Identifier: GPL-2.0
"""Pictures of figures, by gnuplot: each as SVG and PNG."""
import subprocess

from .paths import LabError

PANEL = (620, 460)
HEAD = 50
COMMON = """
set encoding utf8
set style fill solid 1.0 border -1
set border 3 lc rgb "#404040"
set tics nomirror
set grid ytics lc rgb "#d8d8d8" lt 1
"""


def quoted(text):
    """As gnuplot reads a string; no markup."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


class Lines:
    """Values by size on logarithmic axes: series are (label, colour, dash, [(size, value)])."""

    def __init__(self, title, xlabel, ylabel, ticks, series):
        self.title, self.xlabel, self.ylabel = title, xlabel, ylabel
        self.ticks = ticks
        self.series = [one for one in series if one[3]]

    def script(self, tag):
        """(data, commands) for gnuplot."""
        data, plots = [], []
        for number, (label, colour, dash, points) in enumerate(self.series):
            name = f"${tag}_{number}"
            data.append(f"{name} << E\n" + "".join(f"{x} {y}\n" for x, y in points) + "E\n")
            plots.append(f"{name} using 1:2 with linespoints lc rgb {quoted(colour)} "
                         f"dt {dash} lw 2 pt {5 + 2 * (number % 4)} ps 0.7 "
                         f"title {quoted(label)}")
        ticks = ", ".join(f"{quoted(name)} {size}" for name, size in self.ticks)
        values = [y for _, _, _, points in self.series for _, y in points]
        # Room for the legend above the lines.
        top = max(values) * 10 ** (0.35 * len(self.series))
        return "".join(data), (
            "set logscale xy\nset format y '%.0s%c'\nset bmargin 6\n"
            "set key top left vertical Left reverse samplen 3 spacing 1.1\n"
            f"set xtics ({ticks}) rotate by -40\nset xrange [*:*]\nset yrange [*:{top}]\n"
            "set grid xtics\nplot " + ", ".join(plots) + "\n"
            "unset logscale\nunset grid\nset grid ytics lc rgb '#d8d8d8' lt 1\n")


class Bars:
    """Groups of bars: groups are names, series (label, colour, [value or None])."""

    def __init__(self, title, xlabel, ylabel, groups, series):
        self.title, self.xlabel, self.ylabel = title, xlabel, ylabel
        self.groups, self.series = groups, series

    def script(self, tag):
        """(data, commands) for gnuplot."""
        rows, plots = [], []
        width = 0.8 / len(self.series)
        for place, group in enumerate(self.groups):
            values = [series[2][place] for series in self.series]
            rows.append(f"{place} " + " ".join("NaN" if v is None else str(v) for v in values))
        data = f"${tag} << E\n" + "\n".join(rows) + "\nE\n"
        for number, (label, colour, _) in enumerate(self.series):
            shift = (number - (len(self.series) - 1) / 2) * width
            column = number + 2
            plots.append(f"${tag} using ($1+{shift}):{column}:({width * 0.92}) with boxes "
                         f"lc rgb {quoted(colour)} title {quoted(label)}")
            plots.append(f"${tag} using ($1+{shift}):{column}:(short(${column})) with labels "
                         "offset 0,0.5 font ',7' notitle")
        highest = max((v for series in self.series for v in series[2] if v is not None), default=1)
        ticks = ", ".join(f"{quoted(name)} {place}" for place, name in enumerate(self.groups))
        return data, (
            "short(x) = x >= 1e6 ? sprintf('%.1fM', x / 1e6) : x >= 1e5 ? sprintf('%.0fk', x / 1e3) : "
            "x >= 1e3 ? sprintf('%.1fk', x / 1e3) : x >= 10 ? sprintf('%.0f', x) : "
            "sprintf('%.1f', x)\n"
            f"set format y '{'%.0f' if highest < 20000 else '%.0s%c'}'\n"
            "set bmargin 6\nset xlabel offset 0,-1\n"
            "set key top center horizontal Left reverse samplen 1 width -4\n"
            f"set xtics ({ticks}) norotate\nset xrange [-0.6:{len(self.groups) - 0.4}]\n"
            f"set yrange [0:{highest * 1.25}]\nplot " + ", ".join(plots) + "\n")


def draw(path, title, panels, columns=None):
    """The panels as path.svg and path.png."""
    columns = columns or len(panels)
    rows = -(-len(panels) // columns)
    width, height = columns * PANEL[0], rows * PANEL[1] + HEAD
    data, commands = [], []
    for number, panel in enumerate(panels):
        definition, plot = panel.script(f"p{number}")
        data.append(definition)
        commands.append(f"set title {quoted(panel.title)} font ',13'\n"
                        f"set xlabel {quoted(panel.xlabel)}\n"
                        f"set ylabel {quoted(panel.ylabel)}\n" + plot)
    script = "".join(data)
    for terminal, suffix in (("svg noenhanced", "svg"), ("pngcairo noenhanced", "png")):
        script += (f"set terminal {terminal} size {width},{height} background '#ffffff' "
                   f"font 'DejaVu Sans,10'\nset output {quoted(path + '.' + suffix)}\n{COMMON}"
                   f"set multiplot layout {rows},{columns} title {quoted(title)} font ',15'\n"
                   + "".join(commands) + "unset multiplot\nset output\n")
    try:
        done = subprocess.run(["gnuplot"], input=script, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except FileNotFoundError as error:
        raise LabError("gnuplot is not installed: run make deps") from error
    if done.returncode or done.stdout.strip():
        raise LabError(f"{path}: gnuplot: {done.stdout.strip()}")
