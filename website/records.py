"""The committed records of benchmarks/results: a page each, and one that lists them."""

from __future__ import annotations

from website.places import RECORDS, ROOT, page_of, records


def index() -> str:
    """Every record, newest first, with the rows it was made of."""
    lines = [
        "# Records\n",
        "What was run, when and on what, as it was written down then; nothing here is computed when the site is built. "
        "Rows are one number each ([fields](../tables.md)). [Notes](notes.md) has what was learned on the way.\n",
        "| date | record | rows |\n|---|---|---|",
    ]
    stems = sorted({path.name.split(".")[0] for path in (ROOT / RECORDS).iterdir()}, reverse=True)
    texts = {path.stem: path for path in records()}
    for stem in stems:
        title = title_of(texts[stem].read_text(encoding="utf-8")) if stem in texts else ""
        name = title or stem[11:]
        shown = f"[{name}]({stem}.md)" if stem in texts else name
        files = sorted(path.name for path in (ROOT / RECORDS).glob(f"{stem}.json*"))
        rows = ", ".join(f"[{file.removeprefix(stem)}](../{page_of(RECORDS + file)})" for file in files)
        lines.append(f"| {stem[:10]} | {shown} | {rows} |")
    return "\n".join(lines) + "\n"


def title_of(text: str) -> str:
    """The heading of a text, or nothing."""
    first = text.partition("\n")[0]
    return first.removeprefix("# ") if first.startswith("# ") else ""
