"""What every part of a recipe is, and the ranges of its numbers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class RecipePart(BaseModel):
    """A frozen group of recipe fields; unknown names are refused."""

    # The validator of a whole recipe holds those of its parts; none is built before it is used.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
