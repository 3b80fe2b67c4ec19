"""Which files are images by their names. Imports nothing, for clients ask it too."""

IMAGE_EXTENSIONS = frozenset(
    "jpg jpeg jpe png webp bmp tif tiff heic heif avif jp2 dng mpo gif".split()  # noqa: SIM905  # reads better
)
"""What makes a file an image by its name, in any case."""
