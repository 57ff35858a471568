# SPDX-License-Identifier: GPL-2.0
"""Draws the demo's picture: raw XRGB, 32 bits a pixel, nothing but arithmetic.

Each row is one page of memory and carries its number in binary at its left
edge, so that no two pages are alike: one that is lost, repeated or swapped
with another one shows.
"""
import colorsys
import math

WIDTH, HEIGHT = 1024, 768
SIZE = WIDTH * HEIGHT * 4

# Row by row, top first, 5 bits each.
GLYPHS = {
    "A": (14, 17, 17, 31, 17, 17, 17), "C": (14, 17, 16, 16, 16, 17, 14),
    "D": (30, 17, 17, 17, 17, 17, 30), "E": (31, 16, 16, 30, 16, 16, 31),
    "H": (17, 17, 17, 31, 17, 17, 17), "I": (14, 4, 4, 4, 4, 4, 14),
    "M": (17, 27, 21, 21, 17, 17, 17), "N": (17, 25, 21, 19, 17, 17, 17),
    "O": (14, 17, 17, 17, 17, 17, 14), "P": (30, 17, 17, 30, 16, 16, 16),
    "R": (30, 17, 17, 30, 20, 18, 17), "S": (15, 16, 16, 14, 1, 1, 30),
    "T": (31, 4, 4, 4, 4, 4, 4), "U": (17, 17, 17, 17, 17, 17, 14),
    "V": (17, 17, 17, 17, 17, 10, 4), ">": (0, 4, 2, 31, 2, 4, 0),
    " ": (0,) * 7,
}

# The evening sky, from the top down.
SKY = ((10, 12, 48), (58, 24, 110), (196, 62, 108), (250, 160, 84))


def _pixel(red, green, blue):
    return bytes((int(blue), int(green), int(red), 0))


def _sky(position):
    """The colour at 0 (top) to 1 (bottom)."""
    place = position * (len(SKY) - 1)
    first = min(int(place), len(SKY) - 2)
    share = place - first
    return [a + (b - a) * share for a, b in zip(SKY[first], SKY[first + 1])]


class Canvas:
    """Pixels to draw on."""

    def __init__(self):
        self.data = bytearray(SIZE)

    def fill(self, left, top, width, height, pixel):
        """A rectangle, cut at the canvas's edges."""
        first, last = max(left, 0), min(left + width, WIDTH)
        for row in range(max(top, 0), min(top + height, HEIGHT)):
            start = (row * WIDTH + first) * 4
            self.data[start:start + (last - first) * 4] = pixel * (last - first)

    def background(self):
        """The sky, brighter towards the right."""
        for row in range(HEIGHT):
            red, green, blue = _sky(row / (HEIGHT - 1))
            self.data[row * WIDTH * 4:(row + 1) * WIDTH * 4] = b"".join(
                _pixel(red * light, green * light, blue * light)
                for light in (0.7 + 0.3 * x / WIDTH for x in range(WIDTH)))

    def rosette(self, centre_x, centre_y, radius, lobes, hue):
        """A closed curve around a centre, its colour turning with it."""
        steps = 6000
        for step in range(steps):
            angle = 2 * math.pi * step / steps
            reach = radius * (0.62 + 0.38 * math.cos(lobes * angle))
            x = centre_x + reach * math.cos(angle)
            y = centre_y + reach * math.sin(angle)
            red, green, blue = colorsys.hsv_to_rgb((hue + step / steps) % 1, 0.55, 1)
            self.fill(round(x) - 2, round(y) - 2, 4, 4, _pixel(red * 255, green * 255, blue * 255))

    def text(self, words, top, scale):
        """One centred line, in white on its shadow."""
        left = (WIDTH - (len(words) * 6 - 1) * scale) // 2
        for shift, pixel in ((scale // 3 + 1, _pixel(16, 8, 32)), (0, _pixel(255, 255, 255))):
            for place, letter in enumerate(words):
                for row, bits in enumerate(GLYPHS[letter]):
                    for column in range(5):
                        if bits & 16 >> column:
                            self.fill(left + (place * 6 + column) * scale + shift,
                                      top + row * scale + shift, scale, scale, pixel)

    def row_numbers(self):
        """The number of each row, ten bits of four pixels; none is black, as an empty screen is."""
        for row in range(HEIGHT):
            for bit in range(10):
                shade = 255 if row >> bit & 1 else 24
                self.fill(bit * 4, row, 4, 1, _pixel(shade, shade, shade))


def draw():
    """The picture."""
    canvas = Canvas()
    canvas.background()
    for ring, lobes in enumerate((5, 7, 12)):
        canvas.rosette(WIDTH // 2, 310, 260 - 60 * ring, lobes, ring / 3)
    canvas.text("PEER TO PEER", 600, 10)
    canvas.text("DRIVE > SCREEN  PAST THE CPU", 700, 5)
    canvas.row_numbers()
    return bytes(canvas.data)
