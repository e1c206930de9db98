import struct

import gguf
import numpy as np
import pytest

from medalist.models.gguf_header import check_gguf_header, open_gguf


def written(path, *, second=False, **added):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_token_list(["a", "b"])
    for key, value in added.items():
        (writer.add_uint32 if 0 <= value < 2**32 else writer.add_int64)(key, value)
    writer.add_tensor("token_embd.weight", np.zeros((2, 8), dtype=np.float32))
    if second:
        writer.add_tensor("output.weight", np.zeros((2, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def refusal(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is no GGUF file that can be read \(") as caught:
        open_gguf(path)
    said = str(caught.value)
    assert "\n" not in said
    return said.partition("(")[2].partition(").")[0]


def test_a_file_that_the_library_writes_passes(tmp_path):
    written(tmp_path / "a.gguf")
    check_gguf_header(tmp_path / "a.gguf")
    assert [tensor.name for tensor in open_gguf(tmp_path / "a.gguf").tensors] == ["token_embd.weight"]


def test_a_file_that_is_cut_short_anywhere_is_refused(tmp_path):
    whole = written(tmp_path / "a.gguf")
    for length in range(len(whole)):
        if length < len(whole) - 64:  # the weights, the last 64 bytes, are padded to 32
            refusal(tmp_path / "b.gguf", whole[:length])


def test_a_list_longer_than_the_file_is_refused_at_once(tmp_path):
    """GGUFReader would count to 2**60."""
    whole = written(tmp_path / "a.gguf")
    at = whole.index(struct.pack("<IQ", 8, 2) + struct.pack("<Q", 1) + b"a") + 4
    longer = whole[:at] + struct.pack("<Q", 2**60) + whole[at + 8 :]
    assert refusal(tmp_path / "b.gguf", longer) == "its header speaks of more than the file holds"


def test_other_impossible_headers_are_refused(tmp_path):
    whole = written(tmp_path / "a.gguf")
    path = tmp_path / "b.gguf"
    assert refusal(path, b"") == "it is empty"
    assert refusal(path, b"PK" + whole[2:]) == "it does not begin with GGUF"
    assert refusal(path, whole[:4] + whole[7:3:-1] + whole[8:]) == (
        "its version is not 2 or 3, or its numbers are big-endian"
    )
    assert refusal(path, whole[:8] + struct.pack("<Q", 2**40) + whole[16:]).startswith("it speaks of 1,099,511,627,776")
    assert (
        refusal(path, whole.replace(b"llama.block_count", b"general.alignment").replace(b"\x01\0\0\0\x15", b"")) != ""
    )
    doubled = written(tmp_path / "c.gguf", **{"llama.block_counu": 1}).replace(b"block_counu", b"block_count")
    assert refusal(path, doubled) == "two keys or tensors have one name"
    still = written(tmp_path / "c.gguf", **{"general.alignmenu": 0}).replace(b"alignmenu", b"alignment")
    assert refusal(path, still) == "its alignment is not a positive number"
    tensor = whole.index(b"token_embd.weight") + len(b"token_embd.weight")
    assert refusal(path, whole[:tensor] + struct.pack("<I", 9) + whole[tensor + 4 :]) == "a tensor has 9 dimensions"
    unknown = whole[: tensor + 20] + struct.pack("<I", 999) + whole[tensor + 24 :]
    assert refusal(path, unknown) == "its tensors are of an unknown type, or cut short"


@pytest.mark.parametrize(("key", "size"), [("block_count", 10**9), ("context_length", 2**60), ("vocab_size", -1)])
def test_a_size_that_no_model_has_is_refused(key, size, tmp_path):
    """Libraries would make each of a thousand million layers."""
    whole = written(tmp_path / "a.gguf", **{f"other.{key}": size})
    assert refusal(tmp_path / "b.gguf", whole).startswith(f"its other.{key} is not a number from 0 to 1")


def test_tensors_in_one_place_are_refused(tmp_path):
    whole = written(tmp_path / "a.gguf", second=True)
    name = b"output.weight"
    at = whole.index(name) + len(name) + 4 + 2 * 8 + 4
    assert whole[at : at + 8] == struct.pack("<Q", 64)
    assert refusal(tmp_path / "b.gguf", whole[:at] + bytes(8) + whole[at + 8 :]) == "two tensors lie in one place"


def test_a_tensor_without_dimensions_is_refused(tmp_path):
    whole = written(tmp_path / "a.gguf")
    at = whole.index(b"token_embd.weight") + len(b"token_embd.weight")
    assert (
        refusal(tmp_path / "b.gguf", whole[:at] + struct.pack("<I", 0) + whole[at + 4 :]) == "a tensor has 0 dimensions"
    )
