"""The first prompt as it would be sent."""

from tests.urt_core.cli.single import PAIR


def test_a_dry_run_shows_the_prompt_and_asks_nothing(urt, picture, endpoint):
    done = urt("compare", *PAIR, "--first", picture(10), "--second", picture(20), "--votes", 3, "--dry-run")
    assert done.code == 0
    assert done.out.startswith("1 requests, 6 completions, at most 6,144 tokens\npreprocessing rgb-white-")
    assert f"Image 1:[image {picture(10)}: 56x56]\nImage 2:[image {picture(20)}: 56x56]" in done.out
    assert "Caption: a [red] car in the snow" in done.out
    assert endpoint.num_requests == 0
