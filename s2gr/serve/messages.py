"""What the service is asked and what it answers: the models behind its OpenAPI page."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic_core import PydanticCustomError

from s2gr.params import Serve
from s2gr.reasoner.recommender import Recommended

# Letters of an id.
_LETTERS = 256
# Items that are explained at once: each costs as much as some recommendations.
_EXPLAINED = 20

ItemId = Annotated[str, Field(min_length=1, max_length=_LETTERS)]


def _number(value: Any) -> Any:
    """What pydantic would take for a whole number though JSON has other names for it."""
    if isinstance(value, str | bool):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(Message):
    """Why there is no answer."""

    error: str = Field(description="In one line: what was expected, what was found.")


class Similar(Message):
    """An item that is like another one."""

    item_id: str
    title: str
    sid: list[int] = Field(description="Semantic ID.")
    cosine: float = Field(description="Of the vectors that the model compares a user's interest with.")


class Recommendations(Message):
    """What comes next."""

    version: str = Field(description="The published bundle that answers.")
    unknown: list[str] = Field(description="Ids of the history that the bundle does not know; they are passed over.")
    items: list[Recommended] = Field(description="Best first; fewer than asked for where there are no more.")


class SimilarItems(Message):
    """What is like an item."""

    version: str
    items: list[Similar]


class Health(Message):
    status: str
    version: str = Field(description="The published bundle that is served.")


class Version(Message):
    s2gr: str
    version: str = Field(description="The published bundle that is served.")
    items: int = Field(description="Items that may be recommended.")
    bundle: dict[str, Any] = Field(description="Where it came from: commit, training window, metrics.")


@dataclass(frozen=True)
class Requests:
    """The models of the requests."""

    recommend: type[BaseModel]
    explain: type[BaseModel]
    similar: type[BaseModel]

    @staticmethod
    def of(limits: Serve) -> "Requests":
        """With the configured limits."""

        def ids(most: int, least: int = 0) -> Any:
            return Annotated[list[ItemId], Field(min_length=least, max_length=most)]

        def number(usual: int, most: int) -> Any:
            whole = Annotated[int, Field(ge=1, le=most), BeforeValidator(_number)]
            return whole, Field(min(usual, most), description="How many items.")

        listed, truth = ids(limits.listed), Annotated[bool, Field(strict=True)]
        filters: dict[str, Any] = {
            "allow": (listed | None, Field(None, description="Nothing but these items.")),
            "deny": (listed, Field([], description="None of these items.")),
        }
        history: dict[str, Any] = {
            "history": (ids(limits.history, 1), Field(description="Item ids, oldest first.")),
            "exclude_seen": (truth, Field(True, description="Leave out the items of the history.")),
        }
        places = Annotated[int, Field(ge=0, le=limits.k), BeforeValidator(_number)]
        fresh = (places, Field(0, description="The last places, so many, for items that came after training."))
        strict = ConfigDict(extra="forbid")

        def model(name: str, **fields: Any) -> type[BaseModel]:
            return create_model(name, __config__=strict, **fields)

        return Requests(
            model("Recommend", **history, k=number(10, limits.k), fresh=fresh, **filters),
            model("Explain", **history, k=number(3, min(limits.k, _EXPLAINED)), **filters),
            model(
                "SimilarTo", item_id=(ItemId, Field(description="Like this one.")), k=number(10, limits.k), **filters
            ),
        )
