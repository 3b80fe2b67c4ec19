"""Ultralytics' data.yaml: which file it is, the names of the classes, where the splits lie. And writing one.

The rules are those of Ultralytics' own loader (`check_det_dataset`), and wider where users' archives are.
"""

import posixpath
import re
from dataclasses import dataclass
from typing import Any

import yaml

from framehouse.annotations.labels import label_schema
from framehouse.annotations.splits import known_split
from framehouse.runtime import errors
from framehouse.store.issues import INFO, WARNING, IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion.archive import Archive

MAX_BYTES = 4 << 20
MAX_CLASSES = 100_000
DEEPEST = 32
"""Levels of values in each other."""
NOT_SPLITS = {
    "path",
    "names",
    "nc",
    "download",
    "kpt_shape",
    "flip_idx",
    "kpt_names",
    "roboflow",
    "channels",
    "yaml_file",
}

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

REMEDY = "add a data.yaml with `train: images/train`, `val: images/val` and `names:` (a list of the classes)"


@dataclass(frozen=True)
class DataYaml:
    """What a data.yaml says."""

    file: str
    """Its path in the archive."""
    content: dict[str, Any]

    @property
    def folder(self) -> str:
        """The folder that it lies in; empty for the archive's top."""
        return posixpath.dirname(self.file)

    def splits(self) -> dict[str, list[str]]:
        """Names of splits as spelled, with the folders or lists of images that they are said to lie in."""
        found = {}
        for key, value in self.content.items():
            values = value if isinstance(value, list) else [value]
            likely = known_split(str(key)) or (isinstance(value, str | list) and str(key) not in NOT_SPLITS)
            if likely and values and all(isinstance(item, str) and item for item in values):
                found[str(key)] = values
        return found

    def places(self, value: str) -> list[str]:
        """Paths in the archive that a split's value may mean, the likeliest first."""
        base = str(self.content.get("path") or "")
        parts = [part for part in value.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        candidates = [] if value.startswith("/") else [posixpath.join(self.folder, base.replace("\\", "/"), value)]
        candidates.append(posixpath.join(self.folder, value))
        # An absolute path, or one of another machine: whatever end of it exists here.
        candidates += [posixpath.join(self.folder, *parts[i:]) for i in range(len(parts))]
        tidy = [posixpath.normpath(candidate).lstrip("/") for candidate in candidates]
        return ["" if path == "." else path for path in dict.fromkeys(tidy) if not path.startswith("..")]


def find_data_yaml(archive: Archive, issues: IssueLog | None = None) -> DataYaml | None:
    """The archive's data.yaml: the YAML file with `names` or splits that lies nearest to the top. None for none.

    InvalidArgument where the only candidates are no YAML.
    """
    found: list[DataYaml] = []
    broken: errors.InvalidArgument | None = None
    rows = sorted(archive.with_extension("yaml", "yml").tolist(), key=lambda row: _nearness(archive.path(row)))
    for row in rows[:100]:
        try:
            content = parse(archive.path(row), archive.read(row, MAX_BYTES))
        except errors.InvalidArgument as error:
            broken = broken or error
            continue
        candidate = DataYaml(archive.path(row), content)
        if "names" in content or "nc" in content or {"train", "val"} & content.keys():
            found.append(candidate)
    if not found and broken:
        raise broken
    for other in found[1:]:
        if issues is None:
            break
        text = f"{found[0].file} describes the dataset; this file was not used"
        issues.add("DATA_YAML_UNUSED", INFO, other.file, text, "import the datasets of one archive one by one")
    return found[0] if found else None


def _nearness(path: str) -> tuple[int, bool, str]:
    return (path.count("/"), posixpath.basename(path).lower() not in ("data.yaml", "data.yml", "dataset.yaml"), path)


def parse(path: str, data: bytes) -> dict[str, Any]:
    """A YAML file that holds a mapping. InvalidArgument with file and line."""
    try:
        text = data.decode("utf-8-sig")
        _refuse_bombs(text)
        content = yaml.load(text, Loader)  # noqa: S506  # a safe loader
    except UnicodeDecodeError as error:
        raise errors.InvalidArgument(f"{path} is no UTF-8 text; save it as UTF-8", reason="YAML_INVALID") from error
    # A date or number that is none is a ValueError.
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else path
        is_value = isinstance(error, ValueError)
        what = "a date or a number is none" if is_value else getattr(error, "problem", None) or "it cannot be read"
        raise errors.InvalidArgument(
            f"{where}: this is no valid YAML ({what}); mend that line",
            reason="YAML_INVALID",
            facts={"file": path, "line": str(mark.line + 1 if mark else 0)},
        ) from error
    return content if isinstance(content, dict) else {}


def _refuse_bombs(text: str) -> None:
    """YAMLError where values lie so deep in each other that a stack would not hold them, or where aliases make them
    larger than a file can be.
    """
    sizes: dict[str | None, int] = {}
    around: list[tuple[str | None, int]] = []
    event: Any
    for event in yaml.parse(text, Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            around.append((event.anchor, 0))
            size = 0
        elif isinstance(event, yaml.AliasEvent):
            # What is not ended yet would hold itself.
            size = sizes.get(event.anchor, MAX_BYTES + 1)
        elif isinstance(event, yaml.ScalarEvent):
            size = sizes[event.anchor] = len(event.value) + 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = around.pop()
            sizes[anchor] = size
        else:
            continue
        if around:
            around[-1] = around[-1][0], around[-1][1] + size
        if len(around) > DEEPEST or size > MAX_BYTES:
            what = "values too deep in each other" if len(around) > DEEPEST else "an alias that makes it too large"
            raise yaml.MarkedYAMLError(problem=what, problem_mark=event.start_mark)


def class_names(data: DataYaml, issues: IssueLog) -> LabelSchema:
    """The classes in the order of their ids; gaps are filled, and a repeated name gets its id behind it."""
    names, count = data.content.get("names"), data.content.get("nc")
    given: dict[int, str] = {}
    pairs = enumerate(names) if isinstance(names, list) else names.items() if isinstance(names, dict) else ()
    for key, value in pairs:
        if isinstance(value, list | dict | set) or not re.fullmatch(r"\s*[0-9]{1,9}\s*", str(key)):
            what = "has no name but several values" if isinstance(value, list | dict | set) else "is no class id"
            raise errors.InvalidArgument(
                f"{data.file}: {str(key)[:40]} under `names` {what}; write `0: name`", reason="CLASS_NAMES_INVALID"
            )
        if value is not None and str(value).strip():
            given[int(key)] = str(value).strip()
    total = max([*given, -1]) + 1
    if isinstance(count, int) and not isinstance(count, bool):
        if 0 < count < total:
            text = f"`nc` is {count}, but `names` has {total} classes; `nc` was not used"
            issues.add("CLASS_COUNT_DIFFERS", WARNING, data.file, text, "make `nc` and `names` agree")
        total = max(total, count)
    if total > MAX_CLASSES:
        text = f"{data.file}: {total:,} classes are more than a dataset can have ({MAX_CLASSES:,})"
        raise errors.InvalidArgument(text, reason="CLASS_NAMES_INVALID")
    if not total:
        raise errors.InvalidArgument(
            f"{data.file} names no classes; add `names:` with the classes in the order of their ids",
            reason="CLASS_NAMES_MISSING",
        )
    result: list[str] = []
    taken: set[str] = set()
    for i in range(total):
        name = given.get(i, "")
        if not name:
            name = f"class_{i}"
            text = f"class {i} has no name; it is called {name}"
            issues.add("CLASS_NAME_MISSING", WARNING, data.file, text, f"add `{i}: <name>` under `names`")
        elif name in taken:
            text = f"class {i} is called {name} as another is; it became {name} ({i})"
            issues.add("CLASS_NAME_REPEATED", WARNING, data.file, text, "give each class a name of its own")
            name = f"{name} ({i})"
        taken.add(name)
        result.append(name)
    return label_schema(result)


def write(labels: LabelSchema, folders: list[tuple[str, str]], extra: dict[str, Any]) -> bytes:
    """A data.yaml for images under `images/<folder>`; `folders` are (split, folder) in order.

    Ultralytics' loader wants both `train` and `val`: where one is missing the first split there is stands in, as in
    its own coco8.yaml and coco128.yaml, and a comment says so.
    """
    keys: dict[str, list[str]] = {}
    for split, folder in folders:
        keys.setdefault(split or "train", []).append(f"images/{folder}")
    remarks = ""
    present = [key for key in ("train", "val", "test", *keys) if key in keys]
    for needed in ("train", "val"):
        if needed not in keys and present:
            keys[needed] = keys[present[0]]
            remarks += (
                f"# There is no {needed} split; Ultralytics requires the key, so {present[0]} stands in for it.\n"
            )
    ordered = sorted(keys, key=lambda key: ({"train": 0, "val": 1, "test": 2}.get(key, 3), key))
    content: dict[str, Any] = {"path": "."}
    content |= {key: keys[key][0] if len(keys[key]) == 1 else list(keys[key]) for key in ordered}
    content |= {**extra, "names": {i: label.name for i, label in enumerate(labels.labels)}}
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1 << 20)
    return (remarks + body).encode()
