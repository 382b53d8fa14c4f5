import pickle

import pytest

from raymm.errors import NotFound, RegistryError
from raymm.registry.shared import SharedFile


def test_a_file_is_replaced_and_travels(tmp_path):
    shared = SharedFile(storage=str(tmp_path), path="monitors/wine/state.json")
    with pytest.raises(NotFound):
        shared.read(100)
    shared.replace(b"one")
    elsewhere = pickle.loads(pickle.dumps(shared))
    elsewhere.replace(b"two")
    assert shared.read(100) == b"two"
    with pytest.raises(RegistryError, match="at most 2 bytes"):
        shared.read(2)


def test_object_storage_takes_it_too():
    shared = SharedFile(storage="memory://shared", path="monitors/wine/state.json")
    for data in (b"one", b"two"):
        shared.replace(data)
    assert shared.read(100) == b"two"
    with pytest.raises(RegistryError, match="plain names"):
        SharedFile(storage="memory://shared", path="../state").replace(b"")
