"""Values that one of the databases cannot hold are the request's fault, whichever database it is."""

import pytest

from framehouse.runtime.errors import InvalidArgument, NotFound
from framehouse.v1 import dataset_pb2, key_pb2
from services.ingest.catalogue import Catalogue
from services.ingest.keys import create
from services.ingest.trash import purge


def test_letters_of_number_0_are_no_defect(each_catalogue: Catalogue) -> None:
    key = key_pb2.Key(display_name="a\0b", scopes=[key_pb2.SCOPE_READ])
    request = key_pb2.CreateKeyRequest(parent="users/local", key=key)
    try:
        assert create(each_catalogue, request).display_name == "a\0b"
    except InvalidArgument as refused:
        assert "number 0" in refused.text
    with pytest.raises((InvalidArgument, NotFound)):
        purge(each_catalogue, dataset_pb2.PurgeDatasetRequest(parent="users/local", uid="\0"))
