"""Write the vocabularies in ``sunwell/models/vocabularies`` anew, from files in OpenAI's own format.

The wheel of ``llama-index-core`` holds both files:

    pip download --no-deps llama-index-core
    python requirements/vocabularies.py llama_index_core-*.whl

Each file is accepted only if its SHA-256 is the one that ``tiktoken`` expects. It is stored compressed and
without base64 and numbers: first the length of each token as one byte, then the tokens, in the order of their
numbers.
"""

import hashlib
import lzma
import sys
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

from sunwell.models.vocabulary import VOCABULARIES, Vocabulary

FOLDER = Path(__file__).parents[1] / "sunwell" / "models" / "vocabularies"


def files_in(wheel: Path) -> Iterator[bytes]:
    """Yield the content of the files in *wheel* that may be a vocabulary: those without an extension."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if "." not in entry.filename.rpartition("/")[2] and not entry.is_dir():
                yield archive.read(entry)


def packed(data: bytes, vocabulary: Vocabulary) -> bytes:
    """Return the lines of *data*, each a token in base64 and its number, as they are stored."""
    lines = [line.split() for line in data.splitlines() if line]
    if [int(number) for _, number in lines] != list(range(vocabulary.tokens)):
        sys.exit(f"{vocabulary.name}: expected the numbers 0 to {vocabulary.tokens - 1} in order")
    tokens = [b64decode(token) for token, _ in lines]
    plain = bytes(map(len, tokens)) + b"".join(tokens)
    return lzma.compress(plain, preset=9 | lzma.PRESET_EXTREME)


def main() -> None:
    """Find each vocabulary in the wheel and store it; fail if one is missing."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = {hashlib.sha256(data).hexdigest(): data for data in files_in(Path(sys.argv[1]))}
    for vocabulary in VOCABULARIES.values():
        data = found.get(vocabulary.sha256)
        if data is None:
            sys.exit(f"{sys.argv[1]} has no file with the SHA-256 of {vocabulary.name}")
        stored = packed(data, vocabulary)
        (FOLDER / f"{vocabulary.name}.xz").write_bytes(stored)
        print(f"{vocabulary.name}: {vocabulary.tokens} tokens, {len(stored)} bytes")


if __name__ == "__main__":
    main()
