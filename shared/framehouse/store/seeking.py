"""What all files of known size that are read at random have alike: a position, and how it is moved."""

import io


class SeekableFile(io.RawIOBase):
    """A read-only file of `size` bytes; who derives from it reads from `_position` on, and moves that along."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        position = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence] + offset
        if position < 0:
            raise OSError("seek before the beginning")
        self._position = position
        return position
