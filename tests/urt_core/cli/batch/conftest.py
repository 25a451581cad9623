"""Files of requests, and the results of one."""

import json

import pytest


@pytest.fixture
def rows(picture, tmp_path):
    """Writes pairs of shades as JSONL; file names are relative to the file."""

    def write(pairs, name="pairs.jsonl"):
        lines = []
        for index, shades in enumerate(pairs):
            files = [picture(shade).rsplit("/", 1)[1] for shade in shades]
            row = {"key": f"pair-{index}", "task": "image_generation", "text": "a car", "label": "not for the judge"}
            lines.append(json.dumps(row | {"first": files[0], "second": files[1]}))
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        return tmp_path / name

    return write


def results_of(path):
    return {row["key"]: row for row in map(json.loads, path.read_text().splitlines())}
