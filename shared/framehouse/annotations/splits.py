"""Splits: their canonical names, however a source spells them, and their order."""

import re

SPELLINGS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "tst"),
}
"""The splits that everybody has, in their order, with the ways they are written."""

_CANONICAL = {spelling: split for split, spellings in SPELLINGS.items() for spelling in spellings}
_ORDER = list(SPELLINGS)


def known_split(name: str) -> str:
    """`val` for `valid`, `Validation`, `val2017` or `val_2014`; empty where the name is not that of a split."""
    return _CANONICAL.get(re.sub(r"[-_.]?\d+$", "", name.strip().lower()), "")


def canonical_split(name: str) -> str:
    """The split that a name means: train, val, test, or the name itself. `default` means none."""
    return "" if name.lower() == "default" else known_split(name) or name


def split_rank(split: str) -> tuple[int, str]:
    """Sorts train, val, test, then others by name."""
    return (_ORDER.index(split) if split in _ORDER else len(_ORDER), split)
