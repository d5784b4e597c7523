"""Scripts and data inside a page, compressed."""

import base64
import gzip

UNPACK = """
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}
"""


def compressed(text: str) -> str:
    """``text`` compressed, in base 64."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def decompressed(text: str) -> str:
    """What ``compressed`` made ``text`` of."""
    return gzip.decompress(base64.b64decode(text)).decode()


def packed(text: str) -> str:
    """A JavaScript expression for a promise of ``text``, where the function of ``UNPACK`` is known."""
    return f'unpack("{compressed(text)}")'
