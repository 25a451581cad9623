"""The released judges: a table of all, the facts of some, or JSON."""

import json

from urt_core.cli import main
from urt_core.judges.released import RELEASED

NAME = "unifiedreward-2.0-qwen-3b"


def test_the_table_has_a_line_for_each(capsys) -> None:
    assert main(["judges"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(RELEASED)]] == list(RELEASED)


def test_facts_of_a_judge_are_those_of_its_json(capsys) -> None:
    assert main(["judges", NAME]) == 0
    shown = dict(
        line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if len(line.split(maxsplit=1)) == 2
    )
    assert shown["name"] == NAME
    assert shown["hub_id"] == RELEASED[NAME].hub_id
    assert main(["judges", "--json", NAME]) == 0
    [facts] = json.loads(capsys.readouterr().out)
    assert facts == json.loads(json.dumps(RELEASED[NAME].to_json()))


def test_an_unknown_name_is_one_line(capsys) -> None:
    assert main(["judges", "unifiedreward-2.0-qwen-4b"]) == 1
    assert capsys.readouterr().err.startswith(
        "urt: judge is 'unifiedreward-2.0-qwen-4b', which is none of the released"
    )
