"""Hooks of mkdocs: pages that stand outside docs/, the library's pages, and links that lead to files of the repository.

README, CONTRIBUTING and the packages' READMEs stay where readers of the repository look for them. On the site they are
pages beside those of docs/, and a link to a source file leads to the page of its module. A link to any other file of
the repository is shown as text. A link that leads nowhere stays as it is, and mkdocs ends with an error (`--strict`).
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "threats.md",
    "CODE_OF_CONDUCT.md": "conduct.md",
} | {
    f"packages/{package}/README.md": f"packages/{package}.md"
    for package in ("urt-core", "urt-data", "urt-kernels", "urt-train")
}
"""Where a file of the repository stands on the site; files of docs/ stand under their own name."""
SOURCES = sorted(ROOT.glob("packages/*/src/*"))
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")


def rooms(source: Path) -> list[str]:
    """The package's modules and folders of modules, as dotted names: ["urt_core.adapters", "urt_core.atomic", ...]"""
    inside = [path for path in source.iterdir() if (path / "__init__.py").is_file() or path.suffix == ".py"]
    return sorted(f"{source.name}.{path.stem}" for path in inside if not path.stem.startswith("_"))


def page_of(dotted: str) -> str:
    return f"library/{dotted.replace('.', '/')}.md"


def on_config(config: Any) -> Any:
    """The library's part of the navigation: a page for each package, and below it one for each room."""
    library = [
        {source.name: [page_of(f"{source.name}.index"), *({room: page_of(room)} for room in rooms(source))]}
        for source in SOURCES
    ]
    for entry in config.nav:
        if "Library" in entry:
            entry["Library"] = library
    return config


def on_files(files: Files, config: Any) -> Files:
    for name, page in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    for source in SOURCES:
        text = f"::: {source.name}\n    options: {{show_submodules: false}}\n"
        files.append(File.generated(config, page_of(f"{source.name}.index"), content=text))
        for room in rooms(source):
            files.append(File.generated(config, page_of(room), content=f"::: {room}\n"))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    uri = page.file.src_uri
    origin = {page: name for name, page in ELSEWHERE.items()}.get(uri, f"docs/{uri}")

    def lead(match: re.Match[str]) -> str:
        image, text, target, anchor = match[1], match[2], match[3], match[4] or ""
        if "://" in target:
            return match[0]
        name = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        if (destination := shown_at(name)) is not None:
            return f"{image}[{text}]({posixpath.relpath(destination, posixpath.dirname(uri))}{anchor})"
        return text if (ROOT / name).exists() else match[0]

    return LINK.sub(lead, markdown)


def shown_at(name: str) -> str | None:
    """The page, or the file of docs/, that shows this file or folder of the repository."""
    if name in ELSEWHERE:
        return ELSEWHERE[name]
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    if found := re.fullmatch(r"packages/[\w-]+/src/(\w+)/(\w+)(?:\.py)?(?:/.*)?", name):
        room = f"{found[1]}.{found[2]}"
        return page_of(room) if (ROOT / name).exists() and any(room in rooms(source) for source in SOURCES) else None
    return None
