"""Sets of answers to questions about a picture or a video."""

from tests.urt_data.sources.recordings.recording import NUM_ROWS, Recording, inside


def llava_critic(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text, label = f"What is {to.text(number)}?", to.label(ties=False)
        answers = (f"A thing, {number}.", f"Nothing, {number}.")
        rows.append(
            {
                "id": f"vlfeedback_{number}",
                "source": "vlfeedback",
                "conversations": [
                    {
                        "from": "human",
                        "value": f"<image>\nBe a fair judge of two responses ...\nQuestion: [{text}]\n"
                        f"The first response: [{answers[0]}]\nThe second response: [{answers[1]}]\nASSISTANT:\n",
                    },
                    {"from": "gpt", "value": f"The better response: [{('first', 'second')[label]}]. It is right."},
                ],
                "image": inside(f"{number}.jpg"),
            }
        )
        to.says(text, answers[0], answers[1], label)
    to.files["pairwise/train-00000-of-00001.parquet"] = rows


def sharegptvideo_dpo(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text = f"What happens to {to.text(number)}?"
        for frame in range(3):
            to.place(f"train_300k/v_{number}/c01_{frame:04d}.jpeg")
        rows.append(
            {
                "id": f"v_{number}",
                "video": f"v_{number}",
                "prompt": f"<video>\n{text}",
                "chosen": f"It moves, {number}.",
                "rejected": f"It stands, {number}.",
                "chosen_score": 5,
                "rejected_score": to.draw.randrange(1, 5),
            }
        )
        to.says(text, f"It moves, {number}.", f"It stands, {number}.", 0)
    to.files["sft_dpo_17k.jsonl"] = rows


def rlaif_v(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text = f"What colour is {to.text(number)}?"
        rows.append(
            {
                "ds_name": "RLAIF-V",
                "image": {"bytes": f"@bytes:{number}.jpg", "path": f"{number}.jpg"},
                "question": text,
                "chosen": f"Red, {number}.",
                "rejected": f"Blue, {number}.",
                "origin_dataset": "VQAv2",
                "origin_split": '{"model": "llava15"}',
                "idx": number,
                "image_path": f"{number}.jpg",
            }
        )
        to.says(text, f"Red, {number}.", f"Blue, {number}.", 0)
    to.files["RLAIF-V-Dataset_000.parquet"] = rows


def vl_rewardbench(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text, label = f"How many of {to.text(number)}?", to.label(ties=False)
        answers = [f"Five, {number}.", f"Six, {number}."]
        rows.append(
            {
                "id": f"hallucination_pair-{number}",
                "query": text,
                "response": answers,
                "image": to.place(f"images/{number}.png"),
                "human_ranking": [label, 1 - label],
                "models": ["gpt", "gpt"],
                "judge": "human",
                "rationale": "",
                "query_source": "POVID_preference_data_for_VLLMs",
                "ground_truth": "",
            }
        )
        to.says(text, answers[0], answers[1], label)
    to.files["data.json"] = rows


def multimodal_rewardbench(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text, label = f"Describe {to.text(number)}.", to.label(ties=False)
        to.place(f"data/images/nocaps/{number}.jpg")
        answers = [f"It is one, {number}.", f"It is none, {number}."]
        rows.append(
            {
                "ID": f"nocaps_{number}",
                "Text": text,
                "Image": f"images/nocaps/{number}.jpg",
                "Output1": answers[0],
                "Output2": answers[1],
                "Better": f"Output{label + 1}",
                "Meta": {"Category": "open_generation/correctness_task"},
            }
        )
        to.says(text, answers[0], answers[1], label)
    to.files["data/all_data.json"] = rows


def mm_rlhf_rewardbench(to: Recording) -> None:
    rows = []
    for number in range(NUM_ROWS):
        text = f"What is {to.text(number)}?"
        rows.append(
            {
                "id": f"it-{number}",
                "image": to.place(f"short/{number}.jpg"),
                "prompt": f"<image>\n{text}",
                "chosen": f"A jar, {number}.",
                "rejected": f"A car, {number}.",
                "chosen_reason": "It is right.",
                "rejected_reason": "It is wrong.",
            }
        )
        to.says(text, f"A jar, {number}.", f"A car, {number}.", 0)
    to.files["mm_reward_bench.jsonl"] = rows
