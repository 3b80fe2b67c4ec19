"""Small videos made by code: frame i has the brightness 20 + 5 i, and its top left corner is white."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 64, 48
STEP = 5


def draw_video(
    path: Path,
    frames: int = 30,
    *,
    rate: int = 10,
    codec: str = "libx264",
    times: list[int] | None = None,
    rotation: tuple[float, bool, bool] | None = None,
) -> Path:
    """Writes a video, its container that of the path's extension.

    `times`: when each frame is shown, in units of 1/`rate` seconds. `rotation`: degrees anticlockwise, mirrored
    horizontally, vertically, as players are to show it.
    """
    # The table of frames first, so that a file that is cut off still has it.
    options = {"movflags": "faststart"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.bit_rate = WIDTH, HEIGHT, 4_000_000
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        if rotation:
            stream.set_display_rotation(rotation[0], hflip=rotation[1], vflip=rotation[2])
        for i in range(frames):
            pixels = np.full((HEIGHT, WIDTH, 3), 20 + STEP * i, np.uint8)
            pixels[: HEIGHT // 3, : WIDTH // 3] = 255
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts = times[i] if times else i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def number_in(pixels: np.ndarray) -> int:
    """Which frame a picture shows."""
    height, width = pixels.shape[:2]
    middle = pixels[height * 2 // 5 : height * 3 // 5, width * 2 // 5 : width * 3 // 5]
    return round((float(np.median(middle)) - 20) / STEP)
