"""Pictures with captions as a GIF that stays under a size."""

import io
from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw, ImageFont

MOST_BYTES = 10_000_000
FILM_MILLISECONDS = 6000  # all frames but the last, where none is then shorter or longer than these:
SHORTEST, LONGEST = 100, 600
LAST_MILLISECONDS = 2000
LETTERS = range(16, 10, -1)  # pixels
MARGIN = 6  # around a caption
SCALES = (1.0, 0.7, 0.5, 0.35, 0.25)
COLOURS = (256, 64, 16)


def captioned(pictures: Sequence[Image.Image], texts: Sequence[str]) -> list[Image.Image]:
    """Each picture with its line of text below, in the largest letters in which all of them fit."""

    def longest(size: int) -> float:
        return max(ImageFont.load_default(size).getlength(text) for text in texts) + 2 * MARGIN

    narrowest = min(picture.width for picture in pictures)
    size = next((size for size in LETTERS if longest(size) <= narrowest), LETTERS[-1])
    font, height = ImageFont.load_default(size), size + 2 * MARGIN
    frames = []
    for picture, text in zip(pictures, texts, strict=True):
        frame = Image.new("RGB", (max(picture.width, int(longest(size))), picture.height + height), "white")
        frame.paste(picture, ((frame.width - picture.width) // 2, 0))
        ImageDraw.Draw(frame).text((MARGIN, picture.height + MARGIN // 2), text, fill="black", font=font)
        frames.append(frame)
    return frames


def encode(frames: Sequence[Image.Image], most: int = MOST_BYTES) -> tuple[bytes, str]:
    """A GIF of at most so many bytes, and in words what had to be given up for it.

    Colours go first, then size, then every second frame (never the first or the last).
    """
    for kept, scale, colours in attempts(len(frames)):
        content = _gif([_reduced(frames[place], scale, colours) for place in kept])
        if len(content) <= most:
            break
    given_up = [
        f"{colours} colours" * (colours < COLOURS[0]),
        f"{scale:.0%} of the size" * (scale < 1),
        f"{len(kept)} of {len(frames)} pictures" * (len(kept) < len(frames)),
    ]
    told = ", ".join(part for part in given_up if part)
    return content, f" (reduced to {told}, to stay under {most / 1e6:.3g} MB)" if told else ""


def attempts(frames: int) -> Iterator[tuple[list[int], float, int]]:
    """(places of frames, scale, colours), from everything to less and less."""
    kept = list(range(frames))
    for scale in SCALES:
        for colours in COLOURS:
            yield kept, scale, colours
    while len(kept) > 2:
        kept = [*kept[:-1:2], kept[-1]]
        yield kept, SCALES[-1], COLOURS[-1]


def _reduced(frame: Image.Image, scale: float, colours: int) -> Image.Image:
    if scale < 1:
        size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
        frame = frame.resize(size, Image.Resampling.BOX)
    return frame.quantize(colours, dither=Image.Dither.NONE)


def _gif(frames: Sequence[Image.Image]) -> bytes:
    each = min(LONGEST, max(SHORTEST, FILM_MILLISECONDS // len(frames)))
    file = io.BytesIO()
    frames[0].save(
        file,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[each] * (len(frames) - 1) + [LAST_MILLISECONDS],
        loop=0,
    )
    return file.getvalue()
