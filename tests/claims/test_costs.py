"""What a study would cost: the sum of what its arms learn and predict."""

from __future__ import annotations

import pytest

from xstilts import journey
from xstilts.claims.claim import RECIPE, Evidence
from xstilts.claims.cost import PARAMETERS, SUSTAINED, cost
from xstilts.claims.ledger import CLAIMS
from xstilts.published.numbers import load_published
from xstilts.study import Arm, Study, load_study
from xstilts.tasks import load

RECIPES = {path.stem: load_study(path) for path in journey.RECIPES.glob("*.yaml")}


def test_costs_are_the_sum_of_trainings_and_predictions() -> None:
    recipe = Study.model_validate(
        {
            "name": "s",
            "models": {"m": {"id": "FacebookAI/xlm-roberta-large"}},
            "arms": {"none": {}},
            "targets": ["pawsx"],
            "seeds": [1, 2],
            "training": {"pawsx": {"epochs": 2}, "mnli": {"epochs": 3}},
        }
    )
    scored = sum(sum(of.values()) for split, of in load("pawsx").counts.items() if split != "train")
    one_arm = 6 * PARAMETERS * 49_401 * 2 * 50 + 2 * PARAMETERS * scored * 50
    none = cost(recipe, [])
    assert none.rows == 49_401
    assert none.device_hours == pytest.approx(2 * one_arm / SUSTAINED / 3600)
    both = cost(recipe, [Arm(intermediate="mnli")])
    mnli = 6 * PARAMETERS * 392_702 * 3 * 50
    assert both.device_hours == pytest.approx(2 * (2 * one_arm + mnli) / SUSTAINED / 3600)
    assert both.rows == 49_401 + 392_702
    translated = cost(recipe, [Arm(intermediate="mnli"), Arm(intermediate="mnli", source="sw")])
    assert translated.device_hours == pytest.approx(2 * (3 * one_arm + 2 * mnli) / SUSTAINED / 3600)
    assert translated.rows == 49_401 + 2 * 392_702
    mixed = recipe.model_copy(update={"training": {**recipe.training, "mixture": {"epochs": 2}}})
    text = Arm.model_validate(
        {"intermediate": ["mnli", "masked_lm"], "masked_lm": {"text": "{language}.txt", "languages": ["de", "sw"]}}
    )
    capped = 6 * PARAMETERS * 2**17 * 2 * 50
    assert cost(mixed, [text]).device_hours == pytest.approx(2 * (2 * one_arm + capped) / SUSTAINED / 3600)


def test_a_claim_about_forms_is_priced_by_the_arms_of_its_recipe() -> None:
    claims = {c.id: c for c in CLAIMS}
    for number, name in (("C13", f"{RECIPE}-mlm"), ("C14", f"{RECIPE}-translated"), ("C07", f"{RECIPE}-multitask")):
        settles = claims[number].check(Evidence(RECIPES, None, (), load_published())).settles
        assert settles.startswith(f"xstilts run {name} ")
        assert cost(RECIPES[name], RECIPES[name].arms.values()).text in settles
