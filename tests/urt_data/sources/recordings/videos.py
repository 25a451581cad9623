"""Sets of videos."""

from typing import Any

from tests.urt_data.sources.recordings.recording import NUM_ROWS, Recording


def rapidata_video(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text, share = to.text(number), to.draw.choice((0.1, 0.3, 0.5, 0.8))
        names = [to.place(f"Videos/{number:04d}_{model}.mp4") for model in ("sora", "hunyuan")]
        row = {
            "prompt": text,
            "video1": "https://host/preview/1.gif",
            "video2": "https://host/preview/2.gif",
            "file_name1": names[0].removeprefix("Videos/"),
            "file_name2": names[1].removeprefix("Videos/"),
            "model1": "sora",
            "model2": "hunyuan",
        }
        for kind in ("Preference", "Alignment", "Coherence"):
            value = share if kind == "Preference" else 0.25
            row |= {f"weighted_results1_{kind}": value, f"weighted_results2_{kind}": 1 - value}
            row[f"detailedResults_{kind}"] = "[]"
        rows.append(row)
        to.says(text, (names[0],), (names[1],), 2 if share == 0.5 else int(share < 0.5))
    to.files["data/train-00000-of-00001.parquet"] = rows


def video_dpo(to: Recording) -> None:
    pairs, clips = [], []
    for number in range(NUM_ROWS):
        text, label = to.text(number), to.label(ties=False)
        names = [to.place(f"vidpro/clips/{number}_{side}.mp4") for side in "ab"]
        better, worse = (2 * number + label, 2 * number + 1 - label)
        pairs.append({"video1": better, "video2": worse, "frame_caption": [text], "score": 0.8})
        clips += [
            {
                "basic": {"clip_path": name.removeprefix("vidpro/"), "clip_duration": 2.0},
                "misc": {"frame_caption": [text]},
            }
            for name in names
        ]
        to.says(text, (names[0],), (names[1],), label)
    to.files |= {"vidpro/pair.json": pairs, "vidpro/metadata.json": clips}


def video_feedback(to: Recording) -> None:
    marks = (
        "visual quality",
        "temporal consistency",
        "dynamic degree",
        "text-to-video alignment",
        "factual consistency",
    )
    rows = []
    for number in range(NUM_ROWS // 2):
        text, better = to.text(number), to.draw.randrange(2)
        sides = []
        for side in range(2):
            frames = [f"p{number}{side}_{frame:02d}.jpg" for frame in range(2)]
            sides.append(tuple(to.place(f"images/p{number}{side}/{frame}") for frame in frames))
            rows.append(
                {
                    "id": f"{number}{side}",
                    "images": frames,
                    "text prompt": text,
                    "video link": "https://host/1.mp4",
                    **{mark: to.draw.choice((3, 4)) if side == better else to.draw.choice((1, 2)) for mark in marks},
                    "conversations": [{"from": "human", "value": "..."}],
                }
            )
        to.says(text, sides[0], sides[1], better)
    to.files["annotated/train-00000-of-00001.parquet"] = rows


def _aligned(to: Recording, file: str, *, overall: bool) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text, label = to.text(number), to.label()
        names = [to.place(f"videos/{number}_{side}.mp4") for side in "AB"]
        said = ("A", "B", "same")[label]
        row = {"path_A": f"./{names[0]}", "path_B": names[1], "prompt": text}
        row |= {"VQ": said, "MQ": said, "TA": said}
        if overall:
            row |= {"A_model": "kling", "B_model": "luma", "Overall": said}
            row |= {kind: to.draw.choice(("A", "B", "same")) for kind in ("VQ", "MQ", "TA")}
        row |= {"fps_A": "24.0", "num_frames_A": "126.0", "fps_B": "30.0", "num_frames_B": "152.0"}
        rows.append(row)
        to.says(text, (names[0],), (names[1],), label)
    to.files[file] = rows


def videoalign(to: Recording) -> None:
    _aligned(to, "train.csv", overall=False)


def videogen_rewardbench(to: Recording) -> None:
    _aligned(to, "videogen-rewardbench.csv", overall=True)


def lift_hra(to: Recording) -> None:
    questions = ("semantic consistency", "motion", "fidelity")
    words = {0: "Bad.", 1: "Normal.", 2: "Good."}
    rows: list[dict[str, Any]] = []
    for number in range(6):
        text = f"{to.text(number).capitalize()}."
        better = to.draw.randrange(2)
        names = [to.place(f"videos/{number}_{side}.mp4") for side in "ab"]
        for side, name in enumerate(names):
            rows += [
                {
                    "video": name,
                    "conversations": [
                        {
                            "from": "human",
                            "value": f"<video>\n {text} Please identify the {question} issues in this video.",
                        },
                        {"from": "gpt", "value": f"{words[2 if side == better else to.draw.randrange(2)]} As seen."},
                    ],
                }
                for question in questions
            ]
        to.says(text, (names[0],), (names[1],), better)
    to.files["LiFT-HRA-data-20k.json"] = rows


def genai_bench_video(to: Recording) -> None:
    votes = {0: "leftvote", 1: "rightvote", 2: "tievote"}
    rows = []
    for number in range(NUM_ROWS):
        text, label = to.text(number), to.label()
        names = [to.place(f"videos/{number}{side}.mp4") for side in "ab"]
        rows.append(
            {
                "id": number,
                "prompt": text,
                "video_left": names[0].removeprefix("videos/"),
                "video_right": names[1].removeprefix("videos/"),
                "vote_type": votes[label],
            }
        )
        to.says(text, (names[0],), (names[1],), label)
    to.files["data.json"] = rows
