"""Render the committed sprite sheet from the Noto Color Emoji font:
`python tools/make_sheet.py NotoColorEmoji.ttf`.

Run once; the sheet travels with the package so that nobody needs the font, and so that no other FreeType changes a
pixel. Artwork: Noto emoji, Apache-2.0 (see NOTICE).
"""

import sys

from PIL import Image, ImageDraw, ImageFont

from urt_data.sprites.draw import SHEET_FILE, SHEET_SIZE
from urt_data.sprites.world import SHAPES

GLYPHS = {"star": "⭐", "heart": "❤", "fish": "🐟", "tree": "🌲", "key": "🔑", "moon": "🌙"}
BITMAP_STRIKE = 109  # the only size that the font's bitmaps come in


def render_sheet(font_file: str) -> Image.Image:
    """One row of square cells, one cell of `SHEET_SIZE` pixels for each shape of the world, transparent ground."""
    font = ImageFont.truetype(font_file, BITMAP_STRIKE)
    sheet = Image.new("RGBA", (SHEET_SIZE * len(SHAPES), SHEET_SIZE))
    for column, shape in enumerate(SHAPES):
        glyph = Image.new("RGBA", (136, 128))
        ImageDraw.Draw(glyph).text((0, 0), GLYPHS[shape], font=font, embedded_color=True)
        glyph = glyph.crop(glyph.getbbox())
        side = max(glyph.size)
        cell = Image.new("RGBA", (side, side))
        cell.paste(glyph, ((side - glyph.width) // 2, (side - glyph.height) // 2))
        sheet.paste(cell.resize((SHEET_SIZE, SHEET_SIZE), Image.Resampling.LANCZOS), (column * SHEET_SIZE, 0))
    return sheet


if __name__ == "__main__":
    render_sheet(sys.argv[1]).save(SHEET_FILE, optimize=True)
