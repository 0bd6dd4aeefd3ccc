"""Write the tables of measured figures into README.md and the documentation.

    python scripts/write_numbers.py

The figures come from the model cards and from what the benchmarks wrote into docs/numbers; no figure is typed by
hand. A table stands between `<!-- table: NAME -->` and `<!-- /table -->`. With --check nothing is written, and the
exit code is 1 when a page is stale.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import numbers_ap
import numbers_speed

from featherface.atomic import write_text

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
TABLES = {**numbers_ap.TABLES, **numbers_speed.TABLES}
PART = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def main() -> None:
    """Write or check every page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 when a page is stale"
    )
    check = parser.parse_args().check
    stale = [page for page in PAGES if filled(text := page.read_text(encoding="utf-8")) != text]
    for page in stale:
        print(f"{page.relative_to(ROOT)}: {'stale' if check else 'written'}")
        if not check:
            write_text(page, filled(page.read_text(encoding="utf-8")))
    sys.exit(int(check and bool(stale)))


def filled(text: str) -> str:
    """The page with every table as the figures are now."""
    return PART.sub(lambda part: f"{part[1]}\n{TABLES[part[2]]()}\n\n{part[3]}", text)


if __name__ == "__main__":
    main()
