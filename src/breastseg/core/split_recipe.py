"""How a recipe divides a data set: the shares of the parts, or a fold."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from breastseg.core.recipe_part import Count, Fraction, RecipePart


class Folds(RecipePart):
    """One fold of a cross-validation.

    count: how many folds the groups are divided into.
    fold: which one this training holds out, counted from 1.
    part: test: all data are divided, the fold is the test part, and every image is tested once
        over all folds. validation: test and calibration are as without folds, and the rest is
        divided; the fold is the validation part, so that a choice made over all folds leaves
        the test part unseen.
    """

    count: Annotated[int, Field(ge=2)]
    fold: Count = 1
    part: Literal["test", "validation"] = "test"

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.fold > self.count:
            raise ValueError(f"fold must be one of 1 to {self.count}")
        return self


class Split(RecipePart):
    """Shares of the groups (patients, else near duplicates); what is left is training.

    test_fold: take the data set's own published fold as the test part instead.
    folds: hold out one fold of a cross-validation instead of the share of that part.
    seed: of the random order of the groups; the recipe's own where None. Set it to train with
        several seeds on one and the same split.
    by: what is dealt out whole. image-ignoring-groups spoils the score: images of one patient
        and near duplicates come to lie on both sides. It is there to measure by how much, and
        is refused and marked wherever it is scored.
    """

    validation: Fraction = 0.1
    calibration: Fraction = 0.1
    test: Fraction = 0.2
    test_fold: int | None = None
    folds: Folds | None = None
    seed: Annotated[int, Field(ge=0)] | None = None
    by: Literal["group", "image-ignoring-groups"] = "group"

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        if self.validation + self.calibration + self.test >= 1:
            raise ValueError("validation + calibration + test must leave something for training")
        if not self.validation:
            raise ValueError("validation must be above 0: the best epoch is chosen there")
        if self.folds and self.test_fold is not None:
            raise ValueError("test_fold and folds both name the test part: set one of them")
        if self.ignores_groups and self.test_fold is not None:
            raise ValueError("test_fold is divided by the data set's authors: leave by at 'group'")
        return self

    @property
    def ignores_groups(self) -> bool:
        """Whether groups are divided, which spoils the score."""
        return self.by == "image-ignoring-groups"
