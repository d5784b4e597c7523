"""Write what follows from the code, docs/{configuration.md,config.schema.json,outputs.md}: python scripts/docs.py"""

from smdl.runtime.progress import ROOT
from smdl.runtime.reference_docs import PAGES

if __name__ == "__main__":
    for name, text in PAGES.items():
        (ROOT / "docs" / name).write_text(text())
