"""Which files are images, and which are videos, by their names. Imports nothing, for clients ask it too."""

IMAGE_EXTENSIONS = frozenset(
    "jpg jpeg jpe png webp bmp tif tiff heic heif avif jp2 dng mpo gif".split()  # noqa: SIM905  # reads better
)
"""What makes a file an image by its name, in any case."""

VIDEO_EXTENSIONS = frozenset("mp4 m4v mov avi mkv webm".split())  # noqa: SIM905  # as above
"""What makes a file a video by its name, in any case."""
