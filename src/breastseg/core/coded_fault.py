"""A reason to refuse a file: a stable code with what it means and how a user mends it."""

from enum import StrEnum
from pathlib import Path
from typing import Self


class CodedFault(StrEnum):
    """A reason to refuse; the members are those of each kind of file.

    meaning: what was found, as a clause.
    mend: an instruction, as whole sentences.
    """

    meaning: str
    mend: str

    def __new__(cls, code: str, meaning: str, mend: str) -> Self:
        """Make a string that knows more of itself."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.mend = mend
        return member

    def tell(self, path: Path, found: str) -> str:
        """Return a message of where, what was found, how to mend it, and the code.

        Args:
            found: what was expected and found, without a full stop; never a patient's data.
        """
        return f"{path}: {found}. {self.mend} [{self}]"
