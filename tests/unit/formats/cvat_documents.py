"""Documents of CVAT, and what it means that one came back as it went, for the tests of its formats."""

import numpy as np
from lxml import etree
from whole_way import Imported, packed, read, write

LABELS = """<labels>
<label><name>car</name><color>#AA0010</color><type>any</type><attributes>
<attribute><name>parked</name><mutable>True</mutable><input_type>checkbox</input_type><default_value>false</default_value>
<values>false</values></attribute>
<attribute><name>doors</name><mutable>False</mutable><input_type>number</input_type><default_value>2</default_value>
<values>2
5
1</values></attribute>
<attribute><name>plate</name><mutable>False</mutable><input_type>text</input_type><default_value></default_value>
<values></values></attribute></attributes></label>
<label><name>a "b" &amp; &lt;ü&gt;</name><attributes></attributes></label>
<label><name>person</name><type>skeleton</type><attributes></attributes><svg>&lt;line x1="1" y1="1" x2="2" y2="2"
data-type="edge" data-node-from="1" data-node-to="3"&gt;&lt;/line&gt;&lt;circle r="1" cx="1" cy="1"
data-node-id="1" data-label-name="nose"&gt;&lt;/circle&gt;&lt;circle r="1" cx="1" cy="1" data-node-id="3"
data-label-name="tail"&gt;&lt;/circle&gt;</svg></label>
<label><name>nose</name><type>points</type><attributes></attributes><parent>person</parent></label>
<label><name>tail</name><type>points</type><attributes></attributes><parent>person</parent></label>
</labels>"""


def document(body: str, meta: str = f"<task><id>3</id><size>2</size>{LABELS}</task>", head: str = "") -> str:
    return f"{head}<annotations>\n<version>1.1</version>\n<meta>{meta}</meta>\n{body}\n</annotations>\n"


def again(found: Imported, name: str) -> Imported:
    written, losses = write(found.table, found.shelf, name, name)
    assert not losses
    etree.fromstring(written["annotations.xml"])
    return read(packed(written), name)


def assert_same(found: Imported, back: Imported, left_out: tuple[str, ...] = ()) -> None:
    columns = [name for name in found.table.column_names if name not in ("original", "bbox", *left_out)]
    assert back.labels == found.labels
    assert back.table.select(columns).sort_by("path").equals(found.table.select(columns).sort_by("path"))
    for path in found.rows():
        assert np.allclose(back.boxes(path), found.boxes(path), atol=1e-9, equal_nan=True)
