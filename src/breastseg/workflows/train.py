"""breastseg train: from a folder of scans and a recipe to a run folder."""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from breastseg.backends.protocol import Backend, BackendConfig, make_backend
from breastseg.core.errors import RecipeError, RunFolderError
from breastseg.core.recipe import Recipe
from breastseg.datasets.cases import CaseFiles, DataSet, read_case
from breastseg.datasets.checked import CheckedData, check_data, content_of, find_training_data
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.near_duplicates import group_sizes
from breastseg.datasets.simulated import says_simulated
from breastseg.datasets.sketches import read_and_sketch
from breastseg.datasets.splits import DataSplit, split_cases
from breastseg.evaluation.baselines import ConstantMask, best_constant_mask, whole_region
from breastseg.evaluation.overlap import Mask, dice
from breastseg.networks.schedules import is_over
from breastseg.networks.spec import num_parameters
from breastseg.pipeline.case_sets import ValidationSet
from breastseg.pipeline.volume_sets import WholeVolumes
from breastseg.pipeline.workers import automatic_workers
from breastseg.report.terminal import sparkline
from breastseg.training.begun_from import begun_from, told_beginning, weights_at_start
from breastseg.training.checkpoint import Run, create_run, open_run, require_new
from breastseg.training.environment import environment_of
from breastseg.training.fit import Listener, fit, validate
from breastseg.training.lock import only_trainer
from breastseg.training.notice_file import SIMULATED, save_notice
from breastseg.training.sketch_file import SKETCHES_NAME, save_sketches
from breastseg.training.state import EpochRecord, TrainingState
from breastseg.training.tracking import Listeners, Tracker
from breastseg.workflows.calibrate import calibrate_run, make_usable
from breastseg.workflows.fine_tune import Beginning, inherited_notice
from breastseg.workflows.image_classes import require_classes
from breastseg.workflows.prepare import prepared_sets
from breastseg.workflows.progress import Reading, log_file, silent_listener, silent_reading

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """Where to compute.

    threads: of the CPU; None leaves them to the framework.
    workers: processes that make batches; 0 for a thread; None for what suits the device, see
        pipeline.workers.automatic_workers. The result does not depend on it.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None
    workers: int | None = None


ANYWHERE = Hardware()


def train(
    data: Path | CheckedData,
    recipe: Recipe,
    *,
    framework: str,
    output: Path | None = None,
    notice: str | None = None,
    init: Path | None = None,
    hardware: Hardware = ANYWHERE,
    listener: Listener | None = None,
    reading: Reading | None = None,
) -> Run:
    """Train a network from the scans and masks of a folder.

    Args:
        data: a folder of a known layout, see datasets.layouts; or one that was checked before,
            so that several trainings read it once.
        recipe: everything that decides the training.
        framework: pytorch or tensorflow.
        output: the run folder; runs/<recipe>-<framework>-<fingerprint> where None.
        notice: what every reader of the model's results must know. Where None and the data set
            says that its lesions are simulated, that the model was never validated on patients.
        init: the run folder of a model whose weights the training begins with; the recipe is that
            of workflows.fine_tune.recipe_from. A copy of it is kept in the run folder.
        hardware: device, threads and workers.
        listener: told of every step and epoch.
        reading: told of the progress of reading.

    Returns:
        The finished run, with weights.safetensors of the best epoch and model.onnx.

    Raises:
        LayoutError, ImageFileError, ReferenceMaskError, GeometryError: the data.
        SplitError: too few groups, or too few that the model of `init` does not know.
        RecipeError: the network takes volumes or several channels, tells classes that no image
            has, or is not that of the model of `init`.
        RunFolderError, OutputError: the run folder.
        HealthError: the training cannot succeed; see training.health.
        MissingExtraError: the framework is not installed, or what the recipe's first weights
            come from.
    """
    _require_known_input(recipe)
    beginning = Beginning.open(init, recipe)
    reading = reading or silent_reading
    name = f"{recipe.name}-{framework}-{recipe.fingerprint()}"
    path = output or Path("runs") / name
    require_new(path)
    if isinstance(data, Path):
        data_set = find_training_data(data, volumes=recipe.volume is not None)
    else:
        data_set = data.data_set
    require_classes(recipe, data_set)
    backend = _backend(recipe, framework, hardware)
    backend.load_weights(beginning.weights())
    checked = check_data(data_set, reading) if isinstance(data, Path) else data
    known = beginning.known_cases(checked)
    split = _split(checked, recipe, known)
    with only_trainer(path):
        beginning.copy_into(path)
        run = create_run(
            path,
            recipe=recipe,
            split=split,
            environment=environment_of(
                recipe,
                backend,
                data_set,
                checked.content,
                threads=hardware.threads,
                begun_from=beginning.record(known),
            ),
            content=checked.content,
        )
        save_notice(path, _whole_notice(notice, data_set, run))
        if checked.sketches is not None:
            save_sketches(path, checked.content, checked.sketches)
        return _train(run, backend, hardware, data_set, listener, reading)


def _require_known_input(recipe: Recipe) -> None:
    """Refuse networks of volumes or of several channels whose recipe says nothing of volumes."""
    network = recipe.network
    if recipe.volume is None and (network.dimensions, network.input_channels) != (2, 1):
        raise RecipeError(
            f"network.dimensions={network.dimensions}, network.input_channels="
            f"{network.input_channels}: such a network takes volumes, but the recipe has no "
            "`volume`, which says how they are prepared. Begin with `--recipe ct-3d` or ct-25d, "
            "or set both to 2 and 1 for images."
        )


def resume(
    path: Path,
    *,
    data: Path | None = None,
    hardware: Hardware = ANYWHERE,
    listener: Listener | None = None,
    reading: Reading | None = None,
) -> Run:
    """Go on with a training that was interrupted; nothing is left to do for a finished one.

    Args:
        path: the run folder.
        data: where the data set lies now, if it was moved.
        hardware: device, threads and workers.
        listener: told of every step and epoch.
        reading: told of the progress of reading.

    Raises:
        RunFolderError: another process trains it, or the data set is not the one that the run
            was begun with.
    """
    open_run(path)
    with only_trainer(path):
        return _resume(open_run(path), data, hardware, listener, reading or silent_reading)


def _resume(
    run: Run,
    data: Path | None,
    hardware: Hardware,
    listener: Listener | None,
    reading: Reading,
) -> Run:
    volumes = run.recipe.volume is not None
    data_set = find_data_set(data or Path(run.environment["data"]), volumes=volumes)
    if content_of(data_set.cases) != run.content:
        raise RunFolderError(
            f"{data_set.root}: expected the {len(run.content)} images that {run.path} was begun "
            "with, but images were added, removed or changed. Restore them, or train anew."
        )
    if not volumes and not (run.path / SKETCHES_NAME).is_file():
        # Killed before, or begun by an older version.
        save_sketches(run.path, run.content, read_and_sketch(data_set.cases, reading))
    backend = _backend(run.recipe, run.framework, hardware)
    if not run.state().epoch:  # killed before its first epoch was saved
        backend.load_weights(weights_at_start(run))
    return _train(run, backend, hardware, data_set, listener, reading)


def _backend(recipe: Recipe, framework: str, hardware: Hardware) -> Backend:
    config = BackendConfig(
        network=recipe.network,
        loss=recipe.loss,
        optimisation=recipe.optimisation,
        class_loss_weight=recipe.class_loss_weight,
        seed=recipe.seed,
        device=hardware.device,
        num_threads=hardware.threads,
    )
    return make_backend(framework, config)


def _whole_notice(given: str | None, data_set: DataSet, run: Run) -> str | None:
    """Join what is said of a run: as given or by its data, and of the model that it began from."""
    own = given or (_of_simulated(data_set))
    model = begun_from(run)
    before = None if model is None else inherited_notice(model)
    return " ".join(filter(None, (own, before))) or None


def _of_simulated(data_set: DataSet) -> str | None:
    """Return the notice of simulated lesions; of several data sets, with the names of those."""
    members = data_set.members or {"": data_set}
    simulated = [name for name, each in members.items() if says_simulated(each.root)]
    if not simulated:
        return None
    if len(simulated) == len(members):
        return SIMULATED
    return f"Trained on simulated lesions too: those of {', '.join(simulated)}."


def _split(checked: CheckedData, recipe: Recipe, known: Collection[str]) -> DataSplit:
    cases, groups, method = checked.data_set.cases, checked.groups, checked.method
    seed = recipe.split_seed
    split = split_cases(cases, groups, recipe.split, seed=seed, method=method, trained_on=known)
    together = sum(size for size in group_sizes(groups).values() if size > 1)
    sizes = ", ".join(f"{part} {len(ids)}" for part, ids in split.parts.items())
    log.info(
        "%s: %d images in %d groups (%s; %d images share one); %s",
        *(checked.data_set.layout, len(cases), len(set(groups.values())), method, together, sizes),
    )
    if split.divides_groups:
        log.warning(
            "The split ignores the groups: %d of them are in the test part and in others. Scores "
            "on this test part flatter, and the run is good for measuring that alone.",
            len(split.shared_groups()),
        )
    for note in checked.data_set.notes:
        log.warning("%s", note)
    return split


def progress_of(path: Path) -> tuple[int, float]:
    """Return how many epochs a run shall have, and its best validation Dice so far."""
    run = open_run(path)
    best = run.state().best
    return run.recipe.optimisation.epochs, best.validation_dice if best else 0.0


def summary(run: Run) -> dict[str, Any]:
    """Return what a run is, in plain values: for `info` and for the end of `train`."""
    state = run.state()
    best = state.best
    return {
        "recipe": run.recipe.name,
        "fingerprint": run.recipe.fingerprint(),
        **({"begun_from": told} if (told := told_beginning(run.environment)) else {}),
        "framework": f"{run.framework} on {run.environment['device']}, "
        f"{run.environment['precision']}",
        "network": f"channels {'-'.join(map(str, run.recipe.network.channels))}, "
        f"{num_parameters(run.recipe.network):,} parameters",
        "data": f"{run.environment['data']} ({run.environment['layout']})",
        "split": f"by {run.split.method}; "
        + ", ".join(f"{part} {len(ids)}" for part, ids in run.split.parts.items()),
        "epochs": f"{state.epoch} of {run.recipe.optimisation.epochs}"
        + (", stopped early" if _stopped_early(run.recipe, state) else ""),
        **_curves(state.history),
        "best_epoch": state.best_epoch,
        "best_validation_dice": None if best is None else round(best.validation_dice, 4),
        "temperature": round(run.calibration.temperature, 4),
        "operating_threshold": run.operating_threshold,
        **({"answers": told} if (told := run.calibration.answers) else {}),
        "training_seconds": round(sum(record.seconds for record in state.history)),
        **({"notice": run.notice} if run.notice else {}),
    }


def _curves(history: Sequence[EpochRecord]) -> dict[str, str]:
    """Return loss and validation Dice over the epochs as curves of one line."""
    if len(history) < 2:
        return {}
    losses = [record.loss for record in history]
    dice = [record.validation_dice for record in history]
    return {
        "loss": f"{losses[0]:.3f} {sparkline(losses)} {losses[-1]:.3f}",
        "validation_dice": f"{dice[0]:.3f} {sparkline(dice)} {dice[-1]:.3f}",
    }


def _stopped_early(recipe: Recipe, state: TrainingState) -> bool:
    epochs = recipe.optimisation.epochs
    return state.epoch < epochs and is_over(recipe.optimisation, state.dice)


def _references(cases: Iterable[CaseFiles]) -> Iterator[Mask]:
    for files in cases:
        reference = read_case(files).reference
        if reference is not None:
            yield reference > 0


def _constant_mask(run: Run, data_set: DataSet) -> ConstantMask:
    if run.recipe.volume is not None:
        return whole_region()
    return best_constant_mask(_references(data_set.only(run.split.parts["train"])))


def _train(
    run: Run,
    backend: Backend,
    hardware: Hardware,
    data_set: DataSet,
    listener: Listener | None,
    reading: Reading,
) -> Run:
    workers = hardware.workers
    workers = automatic_workers(backend.device) if workers is None else workers
    with log_file(run.path):
        if run.notice is None:  # killed before
            save_notice(run.path, _whole_notice(None, data_set, run))
        if not run.has_constant_mask:
            run.save_constant_mask(_constant_mask(run, data_set))
        parts = [data_set.only(run.split.parts[part]) for part in ("train", "validation")]
        names = [case.case_id for case in parts[1]]
        with prepared_sets((parts[0], parts[1]), run.recipe, run.content, reading) as sets:
            log.info("Training on %s in %s, %s", backend.device, backend.name, backend.precision)
            run.unseal()
            tracker = Tracker(run, names, sets[1])
            told = Listeners(tracker, listener or silent_listener())
            _tell_beginning(run, backend, sets[1])
            try:
                state = fit(backend, *sets, run, told, tracker.validated, workers=workers)
            except KeyboardInterrupt:
                if not run.weights_path.is_file():
                    run.save_best(backend.weights())
                make_usable(run)
                raise
            _judge(run, state, data_set, sets[1])
        calibrate_run(run, data_set, threads=hardware.threads, reading=reading)
        make_usable(run)
    return run


def _tell_beginning(run: Run, backend: Backend, validation: ValidationSet) -> None:
    """Say how good the model is that the training begins from, before its first step."""
    if run.recipe.begins_from is None or run.state().epoch:
        return
    found = validate(backend, validation, run.recipe.optimisation.batch_size)
    log.info("epoch 0: validation Dice %.4f, by the model as it was", found.dice)


def _judge(run: Run, state: TrainingState, data_set: DataSet, validation: ValidationSet) -> None:
    """Say so when a network is worth no more than a mask that never looks at the image."""
    defined = list(_constant_scores(run, data_set, validation))
    floor = sum(defined) / len(defined) if defined else 0.0
    if defined and state.best is not None and state.best.validation_dice <= floor:
        log.warning(
            "The network has learnt nothing that is of use: its best validation Dice, %.3f, is "
            "not above %.3f, that of the same mask on every image (%s). Train longer, on more "
            "images or with another learning rate.",
            *(state.best.validation_dice, floor, run.constant_mask().name),
        )


def _constant_scores(run: Run, data_set: DataSet, validation: ValidationSet) -> Iterator[float]:
    """Yield the Dice of the constant mask on each validation case with a lesion."""
    if isinstance(validation, WholeVolumes):
        yield from validation.dice_of_region()
        return
    constant = run.constant_mask()
    for reference in _references(data_set.only(run.split.parts["validation"])):
        score = dice(constant.on(reference.shape), reference)
        if score is not None:
            yield score
