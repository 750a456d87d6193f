"""Makes hostile files, to harm whoever opens them: bombs, absurd lengths, nesting, paths outside the folder.

Each function makes one kind. No file is larger than a few megabytes on the disk.
"""

import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import onnx

from engine.bundle import MANIFEST, MODEL, TOKENIZER, read_manifest, write_manifest
from engine.bundle.reference import REFERENCE
from export.building.recipe import Recipe, Weight, write_recipe
from export.building.source import Origin, SourceFile
from export.building.tensors import Derivation
from tests.fakes.tiny_bundle import write_tiny_bundle

DEEP: Final = 100_000
BOMB: Final = 3 << 30  # bytes, unpacked from a few megabytes

_GGUF: Final = b"GGUF" + struct.pack("<I", 3)
_UINT8, _STRING, _ARRAY = 0, 8, 9
_BLOCK: Final = 1 << 20


def bundle_with(path: Path, name: str, content: bytes) -> Path:
    """Write a bundle in which the file `name` is `content`; its checksums are right."""
    write_tiny_bundle(path)
    manifest, _ = read_manifest(path)
    (path / name).write_bytes(content)
    write_manifest(path, manifest)
    return path


def bundle_saying(path: Path, text: str) -> Path:
    """Write a bundle whose bundle.json is `text`."""
    write_tiny_bundle(path)
    (path / MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    return path


def manifest_with(path: Path, **changes: Any) -> Path:
    """Write a bundle whose bundle.json has these `changes`."""
    write_tiny_bundle(path)
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(manifest | changes))
    return path


def tokenizer_with(path: Path, **changes: Any) -> Path:
    """Write a bundle whose tokenizer.json has these `changes`."""
    write_tiny_bundle(path)
    tokenizer = json.loads((path / TOKENIZER).read_text())
    return bundle_with(path, TOKENIZER, json.dumps(tokenizer | changes).encode())


def slow_tokenizer(path: Path) -> Path:
    """Write a tokenizer whose pattern takes a time that doubles with each letter of a text."""
    pattern = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    return tokenizer_with(path, pre_tokenizer=pattern)


def vast_tokenizer(path: Path, merges: int) -> Path:
    """Write a tokenizer that has the same merge `merges` times."""
    tokenizer_with(path, model={"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]})
    one = (path / TOKENIZER).read_bytes()
    return bundle_with(path, TOKENIZER, one.replace(b'["a", "b"]', b",".join([b'["a","b"]'] * merges)))


def added(path: Path) -> Path:
    """Write a tokenizer with as many added tokens as a vocabulary has words."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    tokens = [{"id": 300 + n, "content": f"t{n:x}", **plain} for n in range(300_000)]
    return tokenizer_with(path, added_tokens=tokens)


def replacing(path: Path) -> Path:
    """Write a tokenizer whose normaliser makes a text of the letter a 2 ** 40 times as long."""
    twice = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    return tokenizer_with(path, normalizer={"type": "Sequence", "normalizers": [twice] * 40})


def panicking(path: Path) -> Path:
    """Write a tokenizer with a normaliser that the library takes to be impossible, so that it panics."""
    return tokenizer_with(path, normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"})


def zip_bomb(name: str, others: dict[str, bytes], size: int = BOMB) -> bytes:
    """Make a zip whose member `name` unpacks to `size` zeros, from at most a thousandth of their bytes."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = squeeze.compress(bytes(_BLOCK)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    body = block * (size // _BLOCK) + squeeze.flush()
    return _zip({**{key: (0, len(value), value) for key, value in others.items()}, name: (8, size, body)})


def _zip(members: dict[str, tuple[int, int, bytes]]) -> bytes:
    """Make a zip of members (method, size, bytes). It claims the given size, whether or not that is true."""
    body, directory = b"", b""
    for name, (method, size, content) in members.items():
        raw = name.encode()
        crc = zlib.crc32(content) if method == 0 else 0
        common = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 33, crc, len(content), size, len(raw), 0)
        directory += (
            b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, len(body))
        )
        directory += raw
        body += b"PK\x03\x04" + common + raw + content
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end


def npz(header: str, data: bytes = b"", **others: bytes) -> bytes:
    """Make an .npz whose arrays all have this header, and only the given data."""
    text = header.encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data
    names = ("tokens", "messages", "rows", "label_logits", "pooled")
    members = {f"{name}.npy": (0, len(content), content) for name in names}
    return _zip(members | {name: (0, len(value), value) for name, value in others.items()})


def model_reading(path: Path, location: str) -> Path:
    """Write a bundle whose graph takes its weights from the file `location`."""
    write_tiny_bundle(path)
    model = onnx.load(path / MODEL, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    return bundle_with(path, MODEL, model.SerializeToString())


def nested_model(path: Path, depth: int = 5_000) -> Path:
    """Write a graph nested `depth` times: each inner graph is an attribute of a node of the outer one."""
    inner = b""
    for _ in range(depth):
        for field in (6, 5, 1):  # AttributeProto.g, NodeProto.attribute, GraphProto.node
            inner = bytes([field << 3 | 2]) + _varint(len(inner)) + inner
    return bundle_with(path, MODEL, b"\x08\x08" + b"\x3a" + _varint(len(inner)) + inner)


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def gguf(tensors: int = 0, pairs: int = 1, body: bytes = b"") -> bytes:
    """Make a GGUF that claims this many tensors and pairs, and contains `body`."""
    return _GGUF + struct.pack("<QQ", tensors, pairs) + body


def gguf_text(text: bytes) -> bytes:
    """Encode a string as GGUF does."""
    return struct.pack("<Q", len(text)) + text


def gguf_list(kind: int, length: int, content: bytes = b"") -> bytes:
    """Make a GGUF pair whose value is a list that claims this length."""
    return gguf_text(b"a.list") + struct.pack("<IIQ", _ARRAY, kind, length) + content


GGUFS: Final[dict[str, bytes]] = {
    "pairs without end": gguf(pairs=1 << 60),
    "a list without end": gguf(body=gguf_list(_UINT8, 1 << 40)),
    "a list of strings without end": gguf(body=gguf_list(_STRING, 1 << 40)),
    "a list as long as it says": gguf(body=gguf_list(_UINT8, 8 << 20, bytes(8 << 20))),
    "a string longer than the file": gguf(body=struct.pack("<Q", 1 << 62) + b"name"),
    "lists in lists": gguf(
        body=gguf_text(b"a.list") + struct.pack("<I", _ARRAY) + struct.pack("<IQ", _ARRAY, 1) * 20_000
    ),
    "tensors without end": gguf(tensors=1 << 60, pairs=0),
    "a tensor larger than anything": gguf(
        tensors=1, pairs=0, body=gguf_text(b"x") + struct.pack("<IQQIQ", 2, 1 << 40, 1 << 40, 0, 0)
    ),
    "a tensor of a thousand million dimensions": gguf(
        tensors=1, pairs=0, body=gguf_text(b"x") + struct.pack("<I", 1 << 30)
    ),
    "an alignment of nothing": gguf(body=gguf_text(b"general.alignment") + struct.pack("<II", 4, 0)),
}


def _safetensors(header: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header


SAFETENSORS: Final[dict[str, bytes]] = {
    "a header longer than the file": _safetensors(b"{}", 1 << 62),
    "nesting": _safetensors(b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}"),
    "a tensor larger than anything": _safetensors(
        json.dumps({"x": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 0]}}).encode()
    ),
    "a type that numpy has not": _safetensors(
        json.dumps({"x": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    )
    + b"\0\0",
}


def recipe_of(folder: Path, source: bytes, name: str) -> tuple[Path, Path]:
    """Write a file of the content `source` and a recipe that takes its weight from it; return both paths."""
    bundle = write_tiny_bundle(folder / "tiny").path
    file = folder / name
    file.write_bytes(source)
    weight = Weight("x", "0" * 64, Derivation(name, "x"))
    recipe = Recipe(Origin("local", "hostile", "0"), (SourceFile.of(file),), (weight,))
    write_recipe(folder / "evil.recipe", recipe, bundle, (bundle / TOKENIZER).read_bytes())
    return folder / "evil.recipe", file


def repacked(recipe: Path, method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    """Replace some members of a recipe; the keyword `recipe_json` means recipe.json."""
    with zipfile.ZipFile(recipe) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content |= {name.replace("_", "."): value for name, value in members.items()}
    with zipfile.ZipFile(recipe, "w", method) as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    return recipe


def bombed(recipe: Path, name: str) -> Path:
    """Replace one member of a recipe by a bomb."""
    with zipfile.ZipFile(recipe) as archive:
        content = {each: archive.read(each) for each in archive.namelist() if each != name}
    recipe.write_bytes(zip_bomb(name, content))
    return recipe


def _laughs(first: str, rest: str) -> str:
    names = [", ".join([f"*a{level}"] * 9) for level in range(11)]
    lines = [f"a{level + 1}: &a{level + 1} {rest.format(names[level])}" for level in range(11)]
    return "\n".join([f"a0: &a0 {first}", *lines])


TASKS: Final[dict[str, str]] = {
    "a thousand million laughs": _laughs("[x]", "[{}]"),
    "a thousand million merges": _laughs("{name: x}", "{{<<: [{}]}}"),
    "nested lists": "name: " + "[" * DEEP + "]" * DEEP,
    "nested maps": "{a: " * DEEP,
    "nested blocks": "\n".join(" " * n + "a:" for n in range(2_000)),
    "a number without end": "name: " + "9" * 200_000,
    "a day that is none": "name: 2001-99-99",
    "an object of Python's": "name: !!python/object/apply:os.system [id]",
    "a key that is a list": "? [a, b]\n: c",
    "an anchor on itself": "name: &a [*a]",
    "megabytes": "name: " + "x" * (4 << 20),
}

REFERENCES: Final[dict[str, bytes]] = {
    "an array larger than anything": npz(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }"
    ),
    "an array of a few terabytes and its first bytes": npz(
        "{'descr': '<i4', 'fortran_order': False, 'shape': (4294967296, 256), }", bytes(4096)
    ),
    "a negative shape": npz("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"),
    "objects": npz("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n(S'id'\ntR."),
    "a header of brackets": npz("(" * 5000),
    "strings of a gigabyte": npz("{'descr': '<U268435456', 'fortran_order': False, 'shape': (4,), }"),
    "bytes that are no archive": b"PK\x03\x04" + bytes(64),
}


def reference_bomb(path: Path) -> Path:
    """Write a bundle whose reference holds an array of zeros that is a bomb."""
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (805306336,), }".ljust(117) + "\n"
    first = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = squeeze.compress(first) + squeeze.flush(zlib.Z_FULL_FLUSH)
    zeros = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = zeros.compress(bytes(_BLOCK)) + zeros.flush(zlib.Z_FULL_FLUSH)
    body += block * (BOMB // _BLOCK) + zeros.flush()
    members = {f"{name}.npy": (8, BOMB + len(first), body) for name in ("tokens",)}
    return bundle_with(path, REFERENCE, _zip(members))


NESTED: Final = "[" * DEEP + "]" * DEEP

MANIFESTS: Final[dict[str, str]] = {
    "nesting where an object should be": f'{{"source": {NESTED}}}',
    "nesting in a field nobody asked for": f'{{"unknown": {NESTED}}}',
    "a number without end": '{"format": ' + "9" * 200_000 + "}",
    "a number above all": '{"parity": {"cpu": {"off": 1e999999}}}',
    "bytes that are no text": "\udcff",
}


BUNDLES: Final[dict[str, Callable[[Path], Path]]] = {
    **{f"bundle.json: {name}": partial(bundle_saying, text=text) for name, text in MANIFESTS.items()},
    **{
        f"npz: {name}": partial(bundle_with, name=REFERENCE, content=content)
        for name, content in REFERENCES.items()
    },
    "npz: a bomb": reference_bomb,
    "onnx: nesting": nested_model,
    "onnx: a path that leads out": partial(model_reading, location="../" * 12 + "etc/passwd"),
    "onnx: an absolute path": partial(model_reading, location="/etc/passwd"),
    "onnx: an address in memory": partial(model_reading, location="*/_ORT_MEM_ADDR_/*"),
    "onnx: no protobuf": partial(bundle_with, name=MODEL, content=b"<net version='11'/>"),
}

TOKENIZERS: Final[dict[str, Callable[[Path], Path]]] = {
    "nesting": lambda path: bundle_with(path, TOKENIZER, f'{{"model": {NESTED}}}'.encode()),
    "a pattern without end": slow_tokenizer,
    "what the library takes for impossible": panicking,
    "replacing without end": replacing,
    "millions of merges": lambda path: vast_tokenizer(path, 5_000_000),
    "as many tokens of its own as words": added,
}

RECIPES: Final[dict[str, Callable[[Path], Path]]] = {
    "a bomb for bundle.json": lambda recipe: bombed(recipe, MANIFEST),
    "a bomb for a graph": lambda recipe: bombed(recipe, MODEL),
    "nesting": lambda recipe: repacked(recipe, recipe_json=f'{{"origin": {NESTED}}}'.encode()),
    "another compression": lambda recipe: repacked(recipe, zipfile.ZIP_LZMA),
    "a path": lambda recipe: repacked(
        recipe,
        recipe_json=b'{"origin":{"kind":"local","name":"","revision":""},"files":'
        b'[{"name":"../../etc/passwd","sha256":"","size":0}],"weights":[]}',
    ),
    "the beginning of one": lambda recipe: _cut(recipe, 100),
}


def _cut(file: Path, size: int) -> Path:
    file.write_bytes(file.read_bytes()[:size])
    return file
