"""Lines as `urt bench run` writes them."""


def judgement(key: str, order: str, label: str, verdict: str | None, **more) -> dict:
    """A line as the judge was shown the pair."""
    return {"key": key, "order": order, "label": label, "verdict": verdict, "item": key, "group": "", **more}
