"""Every module with logic has a test of its name, in the folder that mirrors its own.

    python tests/test_mirror.py > tests/unmirrored.txt    # after adding or removing one

Sources are tested by their fixtures, and the implementations of a kernel together as its family. `unmirrored.txt` lists
the modules that are tested under other names (of their room, of what they are for): it may only become shorter.
"""

import ast
from pathlib import Path

TESTS = Path(__file__).parent
LISTED = TESTS / "unmirrored.txt"
PACKAGES = sorted(TESTS.parent.glob("packages/*/src/*"))


def has_logic(path: Path) -> bool:
    """Whether a function in it computes something: more than a docstring, a constant or a call that is passed on."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and sum(isinstance(part, ast.stmt) for part in ast.walk(node)) > 2
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )


def is_mirrored(path: Path, package: Path) -> bool:
    place = path.relative_to(package)
    folder = TESTS / package.name / place.parent
    if path.name == "__init__.py":
        return (folder / f"test_{path.parent.name}.py").exists() or (
            folder.parent / f"test_{path.parent.name}.py"
        ).exists()
    if (folder / f"test_{path.stem}.py").exists():
        return True
    if place.parts[0] == "programs":  # started as a user starts them
        return (TESTS / "apps" / f"test_{path.stem}.py").exists()
    if place.parts[0] == "sources":
        return any((TESTS / package.name / "sources" / "fixtures").glob(f"{path.stem}*"))
    return (
        package.name == "urt_kernels"
        and len(place.parts) == 2
        and (folder.parent / f"test_{place.parts[0]}.py").exists()
    )


def unmirrored() -> list[str]:
    return [
        path.relative_to(package.parent).as_posix()
        for package in PACKAGES
        for path in sorted(package.rglob("*.py"))
        if path.name != "__main__.py" and has_logic(path) and not is_mirrored(path, package)
    ]


def test_a_module_with_logic_has_a_test_of_its_name() -> None:
    listed = LISTED.read_text(encoding="utf-8").split()
    found = unmirrored()
    assert sorted(set(found) - set(listed)) == [], "write tests/<package>/<folder>/test_<module>.py"
    assert sorted(set(listed) - set(found)) == [], "these have one: take them off tests/unmirrored.txt"


if __name__ == "__main__":
    print(*unmirrored(), sep="\n")
