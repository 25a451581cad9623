"""Sets of pictures."""

from tests.urt_data.sources.recordings.recording import NUM_ROWS, Recording, inside


def hpdv2(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text, label = to.text(number), to.label(ties=False)
        names = [to.place(f"train/{number:04d}_{side}.jpg") for side in "ab"]
        rows.append(
            {
                "human_preference": [int(label == 0), int(label == 1)],
                "prompt": text,
                "file_path": [name.removeprefix("train/") for name in names],
                "user_hash": "personal",
            }
        )
        to.says(text, (names[0],), (names[1],), label)
    to.files["train.json"] = rows


def hpdv3(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text, votes = to.text(number), sorted(to.draw.sample(range(1, 19), 2), reverse=True)
        names = [to.place(f"images/{number}_{side}.jpg") for side in "ab"]
        rows.append(
            {
                "prompt": text,
                "choice_dist": votes,
                "confidence": to.draw.choice((0.9999, "null", None)),
                "path1": names[0],
                "path2": names[1],
                "model1": "flux",
                "model2": to.draw.choice(("kolors", "real_images")),
            }
        )
        to.says(text, (names[0],), (names[1],), 0)
    to.files["train.json"] = rows


def pick_a_pic(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text, label = to.text(number), to.label()
        names = [f"{number}_{side}.jpg" for side in "ab"]
        value = {0: (1.0, 0.0), 1: (0.0, 1.0), 2: (0.5, 0.5)}[label]
        rows.append(
            {
                "are_different": True,
                "best_image_uid": "personal",
                "caption": text,
                "created_at": "2023-01-01",
                "has_label": True,
                "image_0_uid": f"u{number}",
                "image_0_url": "https://host/u0",
                "image_1_uid": "u",
                "image_1_url": "https://host/u1",
                "jpg_0": f"@bytes:{names[0]}",
                "jpg_1": f"@bytes:{names[1]}",
                "label_0": value[0],
                "label_1": value[1],
                "model_0": "sd-2.1",
                "model_1": "sdxl",
                "ranking_id": number,
                "user_id": 7,
                "num_example_per_prompt": 2,
            }
        )
        to.says(text, (names[0],), (names[1],), label)
    to.files["data/train-00000-of-00001.parquet"] = rows


def image_reward_db(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS // 2):
        text, ranks = to.text(number), to.draw.choice(((1, 2), (2, 1), (1, 1)))
        names = [to.place(f"images/train/train_1/{number}_{side}.webp") for side in "ab"]
        rows += [
            {
                "image_path": name,
                "prompt_id": f"{number:06d}-0061",
                "prompt": text,
                "classification": "People",
                "image_amount_in_total": 2,
                "rank": rank,
                "overall_rating": 8 - rank,
                "image_text_alignment_rating": 5,
                "fidelity_rating": 7 - rank,
            }
            for name, rank in zip(names, ranks, strict=True)
        ]
        to.says(text, (names[0],), (names[1],), 2 if ranks[0] == ranks[1] else int(ranks[0] > ranks[1]))
    to.files["images/train/train_1/train_1.json"] = rows


def open_image_preferences(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text = to.text(number)
        rows.append(
            {
                "id": f"{number}-quality",
                "prompt": text,
                "chosen": inside(f"{number}_chosen.jpg"),
                "rejected": inside(f"{number}_rejected.jpg"),
                "chosen_model": "black-forest-labs/FLUX.1-dev",
                "rejected_model": "stabilityai/stable-diffusion-3.5-large",
                "evolution": "quality",
                "category": "Manga",
                "sub_category": "detailed",
            }
        )
        to.says(text, (f"{number}_chosen.jpg",), (f"{number}_rejected.jpg",), 0)
    to.files["data/train-00000-of-00001.parquet"] = rows


def evalmuse(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS // 2):
        text, low = to.text(number), to.draw.randrange(1, 4)
        better = to.draw.randrange(2)
        names = [to.place(f"images/{model}/{number:05d}.png") for model in ("SDXL", "PixArt")]
        for side, name in enumerate(names):
            marks = [low + 2 * (side == better), low + (side == better), low]
            rows.append(
                {
                    "prompt_id": f"{number:05d}",
                    "prompt": text,
                    "type": "real",
                    "img_path": name.removeprefix("images/"),
                    "total_score": marks,
                    "element_score": {"fox (animal)": [1, 1, 0]},
                    "promt_meaningless": [0, 0, 0],
                    "split_confidence": [0, 0, 0],
                    "attribute_confidence": [1, 1, 1],
                    "fidelity_label": ["[]", "[]", "[]"],
                }
            )
        to.says(text, (names[0],), (names[1],), better)
    to.files["train_list.json"] = rows


def rapidata_image(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text, share = to.text(number), to.draw.choice((0.1, 0.3, 0.5, 0.8))
        names = [f"{number}_{side}.jpg" for side in "ab"]
        row = {
            "prompt": text,
            "image1": inside(names[0]),
            "image2": inside(names[1]),
            "model1": "4o-26-3-25",
            "model2": "flux-1.1-pro",
        }
        for kind in ("preference", "alignment", "coherence"):
            value = share if kind == "preference" else 0.5
            row |= {f"weighted_results_image1_{kind}": value, f"weighted_results_image2_{kind}": 1 - value}
            row[f"detailed_results_{kind}"] = '[{"votedFor": "x.jpg", "userDetails": {"country": "PersonalLand"}}]'
        rows.append(row)
        to.says(text, (names[0],), (names[1],), 2 if share == 0.5 else int(share < 0.5))
    to.files["data/train-00000-of-00001.parquet"] = rows


def genai_bench_image(to: Recording) -> None:
    votes = {0: "leftvote", 1: "rightvote", 2: "bothbad_vote"}
    rows = []
    for number in range(NUM_ROWS):
        text, label = to.text(number), to.label()
        names = [f"{number}_{side}.jpg" for side in "ab"]
        rows.append(
            {
                "prompt": text,
                "left_model": "PixArtAlpha",
                "left_image": inside(names[0]),
                "right_model": "SDXL",
                "right_image": inside(names[1]),
                "vote_type": to.draw.choice(("bothbad_vote", "tievote")) if label == 2 else votes[label],
            }
        )
        to.says(text, (names[0],), (names[1],), label)
    to.files["image_generation/test_v1-00000-of-00001.parquet"] = rows


def mmrb2(to: Recording) -> None:
    pairs = []
    for number in range(NUM_ROWS):
        text, label = to.text(number), to.label(ties=False)
        names = [to.place(f"images/p{number}_{side}.jpg") for side in range(2)]
        pairs.append(
            {
                "id": f"p{number}",
                "prompt_source": "oneigbench",
                "prompt_content": [["text", text]],
                "prompt_metadata": {"id": str(number), "category": "Text_Rendering"},
                "response_a": {"model_name": "imagen4", "response_content": [["image", names[0]]]},
                "response_b": {"model_name": "gpt-image-1", "response_content": [["image", names[1]]]},
                "chosen": "AB"[label],
                "human_annotations": [label + 1, label + 1, 2 - label],
            }
        )
        to.says(text, (names[0],), (names[1],), label)
    to.files["t2i.json"] = {"pairs": pairs}
