#!/usr/bin/env python3
"""Makes src/adapters/prompt/panel/fonts.bin: the glyphs of every text at the door, as bitmaps.

    apt-get install fonts-noto-cjk python3-pil
    scripts/fonts.py [DIRECTORY_OF_THE_FONTS]

Run it when a text in src/adapters/prompt/texts.rs has a character that it never had; a test says so. Chinese and
Japanese write some characters of one code point differently, so each has glyphs of its own.

The file: magic "CFNT1", u8 count of sizes; for each size: u8 pixels, u8 bits a pixel (1 or 2), u8 ascent, u8 height of a
line, u16 count of glyphs, u32 bytes of bitmaps; for each glyph, sorted: u32 script << 24 | code point (script 0 any,
1 Chinese, 2 Japanese), u8 advance, i8 left, i8 top over the baseline, u8 width, u8 height, u32 offset; then the bitmaps,
each row by row without padding between the rows, the first pixel in the highest bits, the darkest value the greatest.
All numbers little-endian.
"""
import re
import struct
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ROOT / "src/adapters/prompt/texts.rs"
OUT = ROOT / "src/adapters/prompt/panel/fonts.bin"
# Pixels, bits a pixel, weight.
SIZES = [(12, 1, "Regular"), (14, 1, "Regular"), (18, 2, "Bold"), (24, 2, "Bold"), (40, 2, "Bold")]
# Faces within the collection.
JAPANESE, CHINESE = 0, 2


def wanted():
    """(script, character) of everything that a text may hold."""
    code = TEXTS.read_text().split("#[cfg(test)]")[0]
    code = re.sub(r"//.*", "", code)
    latin = {chr(c) for c in range(0x20, 0x7F)} | {chr(c) for c in range(0xA1, 0x100) if c != 0xAD} | set("œŒ’")
    beyond = {c for c in code if ord(c) >= 0x100} - latin
    return sorted({(0, c) for c in latin} | {(script, c) for script in (1, 2) for c in beyond})


def glyph(font, char, bits):
    """advance, left, top over the baseline, width, height, packed bitmap"""
    advance = round(font.getlength(char))
    mode = "1" if bits == 1 else "L"
    ascent = font.getmetrics()[0]
    image = Image.new(mode, (font.size * 2, font.size * 3), 0)
    pen = ImageDraw.Draw(image)
    pen.fontmode = mode
    origin = font.size // 2
    pen.text((origin, ascent), char, fill=255 if mode == "L" else 1, font=font, anchor="ls")
    if mode == "1":
        image = image.convert("L")
    top = (1 << bits) - 1
    image = image.point(lambda v: (v * top + 127) // 255)
    box = image.getbbox()
    if box is None:
        return advance, 0, 0, 0, 0, b""
    values = image.crop(box).tobytes()
    packed, acc, filled = bytearray(), 0, 0
    for value in values:
        acc, filled = acc << bits | value, filled + bits
        if filled == 8:
            packed.append(acc)
            acc, filled = 0, 0
    if filled:
        packed.append(acc << (8 - filled))
    return advance, box[0] - origin, ascent - box[1], box[2] - box[0], box[3] - box[1], bytes(packed)


def main():
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/fonts/opentype/noto")
    out = bytearray(b"CFNT1" + bytes([len(SIZES)]))
    for px, bits, weight in SIZES:
        file = str(where / f"NotoSansCJK-{weight}.ttc")
        faces = {script: ImageFont.truetype(file, px, index=i) for script, i in ((0, JAPANESE), (1, CHINESE), (2, JAPANESE))}
        table, bitmaps = bytearray(), bytearray()
        chars = wanted()
        for script, char in chars:
            advance, left, up, width, height, packed = glyph(faces[script], char, bits)
            table += struct.pack("<IBbbBBI", script << 24 | ord(char), advance, left, up, width, height, len(bitmaps))
            bitmaps += packed
        # The font's own ascent leaves room for scripts that are not here.
        out += struct.pack("<BBBBHI", px, bits, round(px * 0.88), round(px * 1.2), len(chars), len(bitmaps))
        out += table + bitmaps
    OUT.write_bytes(out)
    print(f"{OUT.relative_to(ROOT)}: {len(out)} bytes, {len(wanted())} glyphs in {len(SIZES)} sizes")


main()
