"""What can be typed behind `urt bench`, and what follows where nothing is."""

import pytest

from urt_core.cli.arguments import build_parser

RUN = ("bench", "run", "--model", "judge", "--benchmark", "pairs", "--data", "rows.jsonl", "--output", "out")


def test_a_run_has_both_orders_one_process_and_the_official_rule() -> None:
    options = build_parser().parse_args(RUN)
    found = {
        name: getattr(options, name) for name in ("asked_orders", "workers", "rule", "limit", "max_failures", "dialect")
    }
    assert found == {
        "asked_orders": "both", "workers": 1, "rule": "official", "limit": None, "max_failures": 0.05, "dialect": None,
    }  # fmt: skip


def test_lines_of_several_judges_are_several_files() -> None:
    options = build_parser().parse_args(
        ["bench", "compare", "a.jsonl", "b.jsonl", "--names", "one", "other", "--threshold", "0.5"]
    )
    assert (options.files, options.names, options.threshold) == (["a.jsonl", "b.jsonl"], ["one", "other"], 0.5)
    assert (options.format, options.benchmark, options.shape) == ("text", None, None)


def test_suites_take_48_pairs() -> None:
    options = build_parser().parse_args(["bench", "suites", "--model", "judge", "--data", "rows", "--output", "out"])
    assert (options.pairs, options.workers) == (48, 1)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (RUN[:-2], "--output"),
        ((*RUN, "--orders", "swapped"), "--orders"),
        (("bench", "rescore"), "FILE"),
        (("bench", "table", "a.jsonl", "--format", "pdf"), "--format"),
        (("bench", "judge"), "judge"),
        (("bench",), "command"),
    ],
)
def test_what_is_missing_or_unknown_is_named_with_exit_code_2(typed, said: str, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(typed)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
