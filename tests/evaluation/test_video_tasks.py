"""Annotation files in the forms that four data sets give out, and the scores of answers to what is read from them."""

import json

import pytest

from stvlm.evaluation.video_tasks import (
    VideoRow,
    prompt_of,
    read_activitynet_captions,
    read_charades_sta,
    read_dramaqa,
    read_letter,
    read_tvqa_plus,
    score_rows,
)
from stvlm.records import DataError

CHOICES = ("Raj was away.", "Penny hugged him.", "He likes it.", "He is weird.", "He fell.")


def box(label, left):
    return {"img_id": 1, "top": 10, "height": 30, "width": 20, "label": label, "left": left}


def tvqa(**changes):
    answers = {f"a{number}": text for number, text in enumerate(CHOICES)}
    question = "Why did Penny hug the Raj when Penny came in ?"
    boxes = {"1": [box("Raj", 5), box("door", 70)], "7": [box("Raj", 6)], "13": [box("Penny", 40)]}
    entry = {"qid": 7, "q": question, **answers, "answer_idx": "1", "ts": [0, 5.4], "vid_name": "s01e02", "bbox": boxes}
    return entry | changes


def write_tvqa(folder, *entries):
    (folder / "tvqa_plus_val.json").write_text(json.dumps(entries))


def person(name, *sides):
    rect = dict(zip(("min_x", "min_y", "max_x", "max_y"), sides, strict=True))
    return {"person_id": name, "person_info": {"behavior": "stand up", "face_rect": rect, "full_rect": rect}}


def write_dramaqa(folder, *indices):
    questions = [
        {
            "correct_idx": index, "answers": list(CHOICES), "que": "What did Dokyung do?", "shot_contained": [1, 2],
            "q_level_logic": 3, "vid": vid, "q_level_mem": 3, "qid": 10 + number, "videoType": "scene",
        }
        for number, (index, vid) in enumerate(indices)
    ]  # fmt: skip
    images = {
        "AnotherMissOh16_002_0001": [
            {"frame_id": "AnotherMissOh16_002_0001_IMAGE_0000000003", "persons": [person("Dokyung", 1, 2, 30, 40)]},
            {"frame_id": "AnotherMissOh16_002_0001_IMAGE_0000000004", "persons": [person("Dokyung", "", "", "", "")]},
        ],
        "AnotherMissOh16_002_0002": [
            {"frame_id": "AnotherMissOh16_002_0002_IMAGE_0000000009", "persons": [person("Dokyung", 5, 6, 70, 80)]},
        ],
    }
    (folder / "AnotherMissOhQA_val_set.json").write_text(json.dumps(questions))
    (folder / "AnotherMissOh_Visual.json").write_text(json.dumps(images))


def test_charades_sta_is_a_line_a_sentence(tmp_path):
    lines = ["3MSZA 24.3 30.4##person turn a light on.", "AMT7R 5 5##nothing happens."]
    (tmp_path / "charades_sta_test.txt").write_text("\n".join(lines) + "\n")
    read = read_charades_sta(tmp_path)
    (row,) = read.rows
    assert (row.id, row.video, row.target) == ("3MSZA-1", "3MSZA", "24.30-30.40")
    assert 'When does this happen: "person turn a light on."?' in row.question
    assert read.rejected == {"the time span is empty": 1}


def test_activitynet_captions_are_spans_and_sentences_by_video(tmp_path):
    entry = {"duration": 55.15, "timestamps": [[0.28, 55.15], [13.79, 54.32]], "sentences": ["One.", " Two. "]}
    (tmp_path / "val_1.json").write_text(json.dumps({"v_uqiMw7tQ1Cc": entry}))
    rows = read_activitynet_captions(tmp_path).rows
    assert [(row.id, row.video, row.target) for row in rows] == [
        ("v_uqiMw7tQ1Cc-0", "v_uqiMw7tQ1Cc", "0.28-55.15"),
        ("v_uqiMw7tQ1Cc-1", "v_uqiMw7tQ1Cc", "13.79-54.32"),
    ]
    assert '"Two."' in rows[1].question


def test_tvqa_plus_asks_what_and_when_about_the_region_with_the_most_boxes(tmp_path):
    write_tvqa(tmp_path, tvqa(), tvqa(qid=8, q="What is it ?"), tvqa(qid=9, ts=[3.0, 3.0]))
    read = read_tvqa_plus(tmp_path)
    targets = {row.id: row.target for row in read.rows}
    assert targets == {"7-choice": "B", "7-when": "0.00-5.40", "9-choice": "B"}
    assert read.rows[0].question == "Why did Penny hug the person in the red bounding box when Penny came in ?"
    assert read.rows[0].boxes_px == {"00001": (5, 10, 25, 40), "00007": (6, 10, 26, 40)}
    assert read.rows[0].choices == CHOICES
    assert read.rows[1].choices == ()
    assert read.rejected == {"nobody and nothing in a box is named in the question": 1, "the time span is empty": 1}


def test_a_thing_is_no_person_and_no_part_of_a_word(tmp_path):
    only = {"1": [box("door", 70), box("he", 0)], "7": [box("he", 0)]}
    write_tvqa(tmp_path, tvqa(q="Who opens the door when there is help ?", bbox=only))
    asked = read_tvqa_plus(tmp_path).rows[0].question
    assert asked == "Who opens the object in the red bounding box when there is help ?"


@pytest.mark.parametrize(
    ("indices", "letters"), [((0, 4, 2), "AEC"), ((1, 5, 2), "AEB")], ids=["from 0, as its code", "from 1, as its page"]
)
def test_dramaqa_is_about_a_shot_or_a_scene(tmp_path, indices, letters):
    scene, shot = "AnotherMissOh16_002_0000", "AnotherMissOh16_002_0001"
    write_dramaqa(tmp_path, (indices[0], scene), (indices[1], shot), (indices[2], "AnotherMissOh17_001_0001"))
    read = read_dramaqa(tmp_path)
    assert [(row.id, row.video, row.target) for row in read.rows] == [
        ("10", "AnotherMissOh16/002", letters[0]),
        ("11", "AnotherMissOh16/002/0001", letters[1]),
    ]
    assert read.rows[0].question == "What did the person in the red bounding box do?"
    assert read.rows[0].boxes_px == {"IMAGE_0000000003": (1, 2, 30, 40), "IMAGE_0000000009": (5, 6, 70, 80)}
    assert read.rows[1].boxes_px == {"IMAGE_0000000003": (1, 2, 30, 40)}
    assert read.rejected.total() == 1


@pytest.mark.parametrize(
    ("write", "reader", "message"),
    [
        (lambda folder: None, read_charades_sta, "charades_sta_test.txt: cannot be read"),
        (
            lambda folder: (folder / "charades_sta_test.txt").write_text("3MSZA 24.3##x\n"),
            read_charades_sta,
            "line 1 is not VIDEO START END##SENTENCE",
        ),
        (
            lambda folder: (folder / "val_1.json").write_text('{"v": {"timestamps": [[1, 2]], "sentences": []}}'),
            read_activitynet_captions,
            "v has not as many timestamps as sentences",
        ),
        (lambda folder: write_tvqa(folder, tvqa(ts=[1])), read_tvqa_plus, r"Expected `array` of length 2.*\$\[0\]\.ts"),
        (lambda folder: write_tvqa(folder, tvqa(answer_idx="5")), read_tvqa_plus, "'5' of question 7 is not 0 to 4"),
        (
            lambda folder: write_dramaqa(folder, (2, "AnotherMissOh16_002_0001")),
            read_dramaqa,
            "from 2 to 2, tells neither 0 to 4 nor 1 to 5",
        ),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file(tmp_path, write, reader, message):
    write(tmp_path)
    with pytest.raises(DataError, match=message) as error:
        reader(tmp_path)
    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)


def test_prompts_begin_as_those_of_stkit():
    row = VideoRow("a", "v", "Why?", "B", CHOICES[:2], {"00001": (0, 0, 1, 1)})
    assert prompt_of(row, [0.0, 1.0, 2.5]) == (
        "The video lasts for 2.50 seconds, and 3 frames are uniformly sampled from it. These frames are located at"
        " 0.00, 1.00, 2.50 seconds. There is 1 object annotated with a red bounding box in the video. Why?\n"
        "A. Raj was away.\nB. Penny hugged him.\nAnswer with the option's letter from the given choices directly."
    )
    assert prompt_of(VideoRow("a", "v", "When?", "1.00-2.00"), [0.0, 1.0]).endswith("0.00, 1.00 seconds. When?")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b.", "B"),
        ("(B) Penny hugged him.", "B"),
        ("The correct answer is B", "B"),
        ("It was option c, I think.", "C"),
        ("Penny hugged him", "B"),
        ("<think>(A)?</think>(D)", "D"),
        ("A man fell.", None),  # no option A
        ("Either (A) or (B).", None),
        ("I don't know.", None),
        ("", None),
        ("<think>B", None),
    ],
)
def test_letters_are_read_where_they_are_said(text, letter):
    assert read_letter(text, CHOICES).value == letter


def test_scores_by_hand():
    """IoU of 0-5 with 0-10 is a half, of 0-3 with 0-10 is 0.3, which counts, and of nothing read 0."""
    when = [VideoRow(str(number), "v", "When?", "0.00-10.00") for number in range(3)]
    what = [VideoRow(str(number), "v", "Why?", "B", CHOICES) for number in range(2)]
    scores = score_rows([*when, *what], ["from 0 to 5 s", "0 - 3 seconds", "sometime", "B", "none of them"])
    assert scores == {
        "miou": pytest.approx(0.8 / 3),
        "recall_03": pytest.approx(2 / 3),
        "accuracy": 0.5,
        "interval_parse_rate": pytest.approx(2 / 3),
        "interval_count": 3,
        "choice_parse_rate": 0.5,
        "choice_count": 2,
    }
    with pytest.raises(ValueError, match="1 answers for 0 rows"):
        score_rows([], ["x"])
