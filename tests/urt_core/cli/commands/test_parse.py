"""`urt parse`: judgements from files or standard input."""

import io
import json

GOOD = """<think>
1. Semantic consistency: Image 1 (9/10) - yes; Image 2 (4/10) - no
2. Aesthetics: Image 1 (7/10) - fine; Image 2 (7/10) - fine
3. Authenticity: Image 1 (8/10) - fine; Image 2 (8/10) - fine
Total score:
Image 1: 9+7+8=24
Image 2: 4+7+8=20
</think>
<answer>Image 1 is better</answer>"""


def test_files(urt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.txt").write_text(GOOD)
    (tmp_path / "bad.txt").write_text("Both are nice.")
    done = urt("parse", "--task", "image_generation", "good.txt", judge=False)
    assert done.code == 0
    assert done.out.splitlines()[0] == "good.txt: Image 1 is better"
    assert done.out.splitlines()[-2:] == ["sums add up: no", "verdict follows totals: yes"]
    both = urt("parse", "--task", "image_generation", "good.txt", "bad.txt", judge=False)
    assert both.code == 3
    assert "bad.txt: unreadable_answer\n" in both.out
    missing = urt("parse", "--task", "image_generation", "none.txt", judge=False)
    assert (missing.code, missing.err) == (1, "urt: none.txt: cannot be read (No such file or directory)\n")


def test_standard_input_as_json(urt, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(GOOD))
    done = urt("parse", "--task", "image_generation", "--dialect", "v1", "--json", judge=False)
    found = json.loads(done.out)
    assert (found["file"], found["readable"], found["verdict"]) == ("standard input", True, "first")
    assert found["scores"]["aesthetics"] == [7.0, 7.0]
    assert found["sums_consistent"] is False
