"""A clock that jumps decides nothing: training reads none that can."""

import ast
from pathlib import Path

import urt_train

JUMPING = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "today"), ("datetime", "utcnow")}


def test_no_module_of_training_reads_the_wall_clock():
    read = [
        f"{path.name}:{node.lineno}"
        for path in Path(urt_train.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in JUMPING
    ]
    assert read == []
