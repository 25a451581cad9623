"""UnifiedReward's own sets."""

import json

from tests.urt_data.sources.recordings.recording import NUM_ROWS, Recording, sft_prompt


def official_sft(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text, label = to.text(number), to.label(ties=False)
        names = [to.place(f"HPD/{number}_{side}.jpg") for side in "ab"]
        high, low = (9, 6) if label == 0 else (6, 9)
        judgement = (
            f"<think>\n1. Semantic consistency: Image 1 ({high}/10) - as seen; Image 2 ({low}/10) - as seen\n"
            f"Total score:\nImage 1: {high}\nImage 2: {low}\n</think>\n<answer>Image {label + 1} is better</answer>"
        )
        turns = [{"from": "human", "value": sft_prompt("image", text, 2)}, {"from": "gpt", "value": judgement}]
        rows.append({"conversations": turns, "images": names, "source": "HPD"})
        to.says(text, (names[0],), (names[1],), label)
    to.files["train_data.json"] = rows


def official_grpo(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text, label = to.text(number), to.label()
        names = [to.place(f"frames/{number}_{frame}.jpg") for frame in range(4)]
        solution = "Both videos are equally good." if label == 2 else f"Video {label + 1} is better"
        rows.append({"problem": sft_prompt("video", text, 4), "solution": solution, "images": names})
        to.says(text, tuple(names[:2]), tuple(names[2:]), label)
    to.files["grpo_train_data.json"] = rows


def official_pair_scores(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text, label, noun = to.text(number), to.label(), to.draw.choice(("Image", "Video"))
        frames = 1 if noun == "Image" else 8
        names = [to.place(f"t2x/{number}_{frame}.jpg") for frame in range(2 * frames)]
        share = {0: 0.6875, 1: 0.25, 2: 0.5}[label]
        said = "\n".join(
            f"{name} Score:\n {noun} 1: {share}\n {noun} 2: {1 - share}" for name in ("Alignment", "Coherence", "Style")
        )
        turns = [
            {"from": "human", "value": sft_prompt(noun.lower(), text, 2 * frames)},
            {"from": "gpt", "value": said},
        ]
        rows.append({"conversations": turns, "images": names})
        to.says(text, tuple(names[:frames]), tuple(names[frames:]), label)
    to.files["train_data.json"] = rows


def official_point_scores(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS // 2):
        text, better = to.text(number), to.draw.randrange(2)
        frames, third = to.draw.choice(((1, "Coherence"), (16, "Physics")))
        sides = []
        for side in range(2):
            names = [to.place(f"t2x/{number}{side}_{frame}.jpg") for frame in range(frames)]
            mark = to.draw.uniform(3.5, 5) if side == better else to.draw.uniform(1, 3)
            said = "\n".join(f"{name} Score (1-5): {mark}" for name in ("Alignment", third, "Style"))
            asked = "<image>\n" * frames + f"Score what was made from the caption.\nText Caption: [{text}]"
            rows.append(
                {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": said}], "images": names}
            )
            sides.append(tuple(names))
        to.says(text, sides[0], sides[1], better)
    to.files["train_data.json"] = rows


def official_flex(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text, label, noun = to.text(number), to.label(ties=False), to.draw.choice(("Image", "Video"))
        frames = 1 if noun == "Image" else 8
        names = [to.place(f"flex/{number}_{frame}.jpg") for frame in range(2 * frames)]
        winner = f"{noun} {label + 1}"
        dimension = {"name": "objects", "reason_1": "seen", "reason_2": "seen"}
        dimension |= {"score_1": 7 - 4 * label, "score_2": 3 + 4 * label}
        categories = [
            {"name": name, "dims": [dimension], "cat_reason": "clear", "cat_winner": winner}
            for name in ("Semantic Alignment", "Visual Quality", "Aesthetics")
        ]
        verdict = {"prompt": text, "categories": categories, "reason": "clear", "winner": winner}
        said = json.dumps(verdict, indent=1)
        turns = [
            {"from": "human", "value": sft_prompt(noun.lower(), text, 2 * frames)},
            {"from": "gpt", "value": f"```json\n{said}\n```" if number % 2 else said},
        ]
        rows.append({"conversations": turns, "images": names})
        to.says(text, tuple(names[:frames]), tuple(names[frames:]), label)
    to.files["train_data.json"] = rows
