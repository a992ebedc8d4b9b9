"""Dataset rows with what an answer is scored against."""

CHOICES = {
    "traveled_distance_comparison": ["red", "blue"],
    "traveling_speed_comparison": ["red", "blue"],
    "movement_direction_comparison": ["same", "different"],
}


def reference(task, target, **more):
    return {"task": task, "target": target, "choices": CHOICES.get(task, []), "question": "", **more}


def distances(*targets, **more):
    return [reference("traveled_distance", target, **more) for target in targets]
