"""Scripts and data inside a page, compressed: a page in a report is an address, and browsers refuse long ones."""

import base64
import gzip

# Chromium shows no address beyond 2 MiB, and a page in a single-file report is an address, in base 64.
LARGEST = 3 * 2**21 // 4 - 4096

UNPACK = """
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}
"""


def packed(text: str) -> str:
    """A JavaScript expression for a promise of ``text``, where the function of ``UNPACK`` is known."""
    return f'unpack("{base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()}")'
