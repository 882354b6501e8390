"""How a loss is spelled, read back, hashed and refused."""

import json

import pytest
from pydantic import ValidationError

from breastseg.core.errors import RecipeError
from breastseg.core.loss_terms import PARAMETERS, FocalTversky, LossTerm, NoParameters, Tversky
from breastseg.core.recipe import Recipe, parse_recipe


def loss_of(text):
    return Recipe().with_settings([f"loss={text}"]).loss


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dice", [LossTerm(name="dice")]),
        ("bce:1,boundary:0.01", [LossTerm(name="bce"), LossTerm(name="boundary", weight=0.01)]),
        (
            "tversky(alpha=0.4,beta=0.6):1,bce:0.5",
            [
                LossTerm(name="tversky", parameters=Tversky(alpha=0.4, beta=0.6)),
                LossTerm(name="bce", weight=0.5),
            ],
        ),
        (
            " focal( gamma = 1 ) : 2 , bce ",
            [LossTerm(name="focal", weight=2, parameters={"gamma": 1}), LossTerm(name="bce")],
        ),
        ("tversky()", [LossTerm(name="tversky")]),
        ("bce:", [LossTerm(name="bce")]),
    ],
)
def test_a_loss_is_read_from_text(text, expected):
    assert list(loss_of(text)) == expected


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_loss_can_be_chosen_by_name_and_survives_its_file(name):
    recipe = Recipe().with_settings([f"loss={name}:0.5"])
    assert recipe.loss[0].parameters == PARAMETERS[name]()
    again = parse_recipe(json.loads(recipe.to_json()), source="file")
    assert again == recipe
    assert again.fingerprint() == recipe.fingerprint()
    assert hash(again.loss) == hash(recipe.loss)


def test_parameters_are_written_with_their_defaults():
    document = json.loads(Recipe().with_settings(["loss=tversky(alpha=0.5)"]).to_json())
    expected = {"name": "tversky", "weight": 1.0, "parameters": {"alpha": 0.5, "beta": 0.7}}
    assert document["loss"] == [expected]


def test_a_loss_without_parameters_is_written_as_before_there_were_any():
    assert json.loads(Recipe().to_json())["loss"] == [{"name": "bce-dice", "weight": 1.0}]


@pytest.mark.parametrize(
    ("loss", "fingerprint"), [("dice", "b9ef0800af36"), ("bce:1,dice:0.5", "a3e55f842feb")]
)
def test_fingerprints_of_before_there_were_parameters_stay(loss, fingerprint):
    assert Recipe().with_settings([f"loss={loss}"]).fingerprint() == fingerprint


def test_the_fingerprint_tells_parameters_apart_and_leaves_defaults_out():
    plain, told, other = (
        Recipe().with_settings([f"loss={text}"]).fingerprint()
        for text in ("tversky", "tversky(alpha=0.3)", "tversky(alpha=0.4)")
    )
    assert plain == told != other


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dise", r"loss\.0\.name: no loss is called 'dise'\. Did you mean 'dice'\?"),
        (
            "bce,qqq",
            r"loss\.1\.name: no loss is called 'qqq'\. There are: balanced-bce, batch-dice, ",
        ),
        ("tversky(alfa=0.3)", r"tversky has no parameter 'alfa'\. Did you mean 'alpha'\?"),
        ("bce(alpha=1)", r"loss\.0\.parameters: bce has no parameters"),
        ("tversky(alpha=-1)", r"tversky\(alpha\): Input should be greater than 0"),
        ("tversky(alpha=inf)", r"tversky\(alpha\): Input should be a finite number"),
        ("focal(gamma=big)", r"focal\(gamma\): Input should be a valid number"),
        ("focal(2)", r"focal\(2\): expected PARAMETER=VALUE, such as alpha=0\.3"),
        ("focal(gamma=1", r"expected terms such as bce:1 .* cannot read 'focal\(gamma=1'"),
        ("bce;dice", r"no loss is called 'bce;dice'"),
        ("bce dice", r"cannot read 'bce dice'"),
        ("bce:1:2", r"cannot read"),
        ("", r"cannot read ''"),
        (",", r"cannot read ','"),
        ("bce:-1", r"loss\.0\.weight: .*greater than 0"),
        ("bce:nan", r"loss\.0\.weight: "),
        ("bce:inf", r"loss\.0\.weight: .*finite"),
    ],
)
def test_what_is_wrong_with_a_loss_is_told(text, message):
    with pytest.raises(RecipeError, match=message):
        loss_of(text)


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({"name": "tversky", "alpha": 0.3}, r"'loss\.0\.alpha' is no recipe field"),
        ({"name": "bce", "parameters": 3}, r"loss\.0\.parameters: "),
        ({"name": 3}, r"loss\.0\.name: "),
        ({"weight": 3}, r"loss\.0\.name: Field required"),
    ],
)
def test_wrong_terms_of_a_file_are_told(term, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe({"loss": [term]}, source="file")


def test_parameters_of_another_loss_are_refused():
    with pytest.raises(ValidationError, match="tversky has no parameter 'gamma'"):
        LossTerm(name="tversky", parameters=FocalTversky())


def test_a_term_is_frozen_and_has_no_parameters_unless_its_loss_has():
    term = LossTerm(name="bce")
    assert term.parameters == NoParameters()
    with pytest.raises(ValidationError, match="frozen"):
        term.weight = 2
