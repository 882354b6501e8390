"""Showing how far a search is, on stderr."""

from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from breastseg.workflows.progress import console
from breastseg.workflows.search_trials import Status


class SearchBar:
    """A progress bar for a search: trials done, the best so far, what is trained now."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("Searching"),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *told: object) -> None:
        self._progress.stop()

    def __call__(self, status: Status) -> None:
        """Show how far the search is."""
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task("", total=status.total)
        of = f" of {status.total}" if status.total else ""
        figures = [f"{status.done}{of} trials"]
        figures += [f"best {status.best:.3f}"] if status.best is not None else []
        figures += [status.doing] if status.doing else []
        self._progress.update(self._task, completed=status.done, description=", ".join(figures))
        if status.done == status.total:
            self._progress.stop()
