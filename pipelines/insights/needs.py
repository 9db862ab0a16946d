"""What figures need of what is declared, and what is missing of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.insights.loaded import Loaded, is_amount

# Which dataset the column of a role refers to.
REFERENCES = {
    ("payments", "booking"): "bookings",
    ("bookings", "user"): "users",
    ("bookings", "service"): "services",
}


@dataclass(frozen=True)
class Needs:
    """What the datasets that were loaded have.

    A need is spelled as in ``datasets.toml``: ``payments`` (the dataset), ``users.date_column``,
    ``payments.roles.amount``, ``payments.statuses.paid``.
    """

    loaded: Mapping[str, Loaded]

    def missing(self, *needs: str) -> str | None:
        """The first of ``needs`` that is not there; None: all are."""
        return next(filter(None, map(self._missing, needs)), None)

    def has(self, *needs: str) -> bool:
        """Whether all are there."""
        return self.missing(*needs) is None

    def missing_link(self, dataset: str, role: str) -> str | None:
        """What is missing to follow rows of ``dataset`` to those that the role refers to."""
        target = REFERENCES[dataset, role]
        need = f"{dataset}.roles.{role}"
        if missing := self.missing(need, target):
            return missing
        key = self.loaded[target].key
        if key is None:
            return f"{target}.key"
        is_alike = self.loaded[dataset].dataset.roles[role].kind is key.kind
        return None if is_alike else need

    def _missing(self, need: str) -> str | None:
        name, *rest = need.split(".")
        loaded = self.loaded.get(name)
        if loaded is None:
            return name
        return None if _has(loaded, rest) else need


def _has(loaded: Loaded, rest: list[str]) -> bool:
    dataset = loaded.dataset
    match rest:
        case ["date_column"]:
            return dataset.date_column is not None
        case ["roles", "amount"]:
            amount = dataset.roles.get("amount")
            return amount is not None and is_amount(amount)
        case ["roles", role]:
            return role in dataset.roles
        case ["statuses", meaning]:
            return "status" in dataset.roles and meaning in dataset.statuses
    return not rest
