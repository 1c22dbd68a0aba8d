"""``covidcnn evidence``: the arms of the protocol, from the pilot to their trials."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from covidcnn.cli.common import open_data, plain_console, say
from covidcnn.cli.trials import ProcessesOption, run_and_watch
from covidcnn.errors import UserError

if TYPE_CHECKING:
    from covidcnn.data.dataset import DataSet
    from covidcnn.study.protocol import Protocol

ImagesOption = Annotated[Path | None, typer.Option("--data", metavar="DIR", help=(
    "The images that the protocol is about; covidcnn data resize makes them of the published ones. "
    "Without it: the folder that COVIDCNN_DATA names."))]
ArmArgument = Annotated[str, typer.Argument(metavar="ARM", help="As protocol.yaml names it; covidcnn evidence status.")]
ArmsArgument = Annotated[list[str], typer.Argument(metavar="ARM...", help=(
    "As protocol.yaml names them; covidcnn evidence status."))]
StudyOption = Annotated[str, typer.Option("--study", help=(
    "Of reports/, the folder of the protocol: paper, the first study, or recipe, the second."))]
ShardOption = Annotated[str, typer.Option("--shard", metavar="K/N", help="Run the K-th of N shares.")]
MinutesOption = Annotated[float, typer.Option("--minutes", help=(
    "Begin no training that would probably end later."))]
OriginalsOption = Annotated[Path | None, typer.Option("--originals", metavar="DIR", help=(
    "Images of train at their original sizes: what pixel area and aspect alone tell."))]
PilotOption = Annotated[bool, typer.Option("--pilot", help=(
    "One seed, two epochs, validation only, into a store of its own: what the arm will cost."))]


def run(arms: ArmsArgument, data: ImagesOption = None, share: ShardOption = "1/1", pilot: PilotOption = False,
        study: StudyOption = "paper", processes: ProcessesOption = 1, minutes: MinutesOption = float("inf")) -> None:
    """Run arms of a protocol into the store beside it: one after the other, or in several processes seed by seed."""
    from covidcnn.study.access_log import open_store
    from covidcnn.study.protocol import pilot as pilot_of
    from covidcnn.study.protocol import read_study
    from covidcnn.trials.sweep import shard

    protocol = read_study(study)
    sweeps = [pilot_of(protocol.sweep(arm)) if pilot else protocol.sweep(arm) for arm in arms]
    dataset = _open_protocols_data(protocol, data)
    store = open_store(protocol.store.with_name("pilot") if pilot else protocol.store)
    trials = [shard(sweep.trials(protocol.data, protocol.task), share) for sweep in sweeps]
    if processes > 1:
        # The first seeds of all arms first: what is compared is complete early.
        in_turn = sorted(((sweep.seeds.index(trial.seed), trial) for sweep, of_arm in zip(sweeps, trials, strict=True)
                          for trial in of_arm), key=lambda place: place[0])
        trials = [[trial for _, trial in in_turn]]
    for together in trials:
        run_and_watch(together, store, dataset, processes, minutes)


def select(arm: ArmArgument, study: StudyOption = "paper") -> None:
    """Choose by an arm's rule, on validation, and enter the outcome in selections.yaml."""
    from covidcnn.study.access_log import open_store
    from covidcnn.study.protocol import read_study, write_selection

    protocol = read_study(study)
    table = write_selection(protocol, arm, open_store(protocol.store))
    printed = Table(*table.columns, title=f"{arm}: chosen on validation")
    for row in table.itertuples(index=False):
        printed.add_row(*(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row))
    plain_console().print(printed)


def baseline(data: ImagesOption = None, originals: OriginalsOption = None) -> None:
    """Score the baseline, simple models on 16 x 16 pixels, into the store."""
    from covidcnn.paper.studies import PROTOCOL, STORE
    from covidcnn.study.baseline import compute_baseline, compute_sizes
    from covidcnn.study.protocol import read_protocol

    protocol = read_protocol(PROTOCOL)
    compute_baseline(protocol, _open_protocols_data(protocol, data), STORE)
    if originals:
        compute_sizes(open_data(originals), STORE)
    say(f"baseline: {STORE / 'floor'}")


def framing(data: ImagesOption = None) -> None:
    """Measure how chests stand in the frame, by registration, into reports/aspect: no model has a part in it."""
    from covidcnn.data.cache import load_images
    from covidcnn.evaluation.framing import align_each, averages_table, distribution, reference_image
    from covidcnn.imaging.transforms import ImageSettings
    from covidcnn.paper.studies import PROTOCOL
    from covidcnn.paths import REPORTS, replacing
    from covidcnn.study.protocol import read_protocol

    dataset = _open_protocols_data(read_protocol(PROTOCOL), data)
    images = dataset.images
    pixels = load_images(dataset.root, images, ImageSettings(96))
    tables = {"framing_averages": averages_table(images, pixels),
              "framing_images": distribution(images, align_each(pixels, reference_image(images, pixels)))}
    for name, table in tables.items():
        path = REPORTS / "aspect" / f"{name}.csv"
        with replacing(path) as temporary:
            table.to_csv(temporary, float_format="%.4f")
        say(f"table: {path}")


def aspect(data: ImagesOption = None, share: ShardOption = "1/1", dry_run: Annotated[bool, typer.Option(
        "--dry-run", help="One epoch of each arm's first replicate; nothing is judged.")] = False) -> None:
    """Run the natural experiment inside train, reports/aspect, and make its tables once it is finished."""
    from covidcnn.data.cache import load_images
    from covidcnn.imaging.transforms import ImageSettings
    from covidcnn.paper import aspect as natural
    from covidcnn.paper import aspect_tables as found
    from covidcnn.paths import replacing
    from covidcnn.trials.store import TrialStore

    dataset, folder = open_data(data), natural.DESIGN.parent
    store = TrialStore(folder / "store")
    natural.run_design(dataset, TrialStore(folder / "dry") if dry_run else store, share, dry_run, say)
    design, images = natural.read_design(), natural.measured_images(dataset)
    missing = [trial for _, trial, _ in natural.planned(design, dataset, images) if not store.is_finished(trial)]
    if missing:
        say(f"{len(missing)} trainings are not finished; the tables wait for them")
        return
    scores = natural.read_scores(design, dataset, images, store)
    paths = found.groups(images, load_images(dataset.root, images, ImageSettings(96)))
    tables = {"responses": found.response_table(scores), "contrasts": found.contrast_table(scores),
              "groups": found.group_table(scores, paths), "training_images": natural.facts(images, design)}
    for name, table in tables.items():
        with replacing(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, float_format="%.6g", index=name == "training_images")
    say(f"hypothesis A: {found.verdict(scores)}; tables: {folder}")


def ledger() -> None:
    """Make tables, figures and the claims ledger of reports/paper, and tables and figures of reports/recipe, from their
    stores."""
    from covidcnn.paper.studies import PROTOCOL, STORE
    from covidcnn.paper.write import write_evidence, write_recipes
    from covidcnn.study.access_log import open_store
    from covidcnn.study.conditions import read_evidence
    from covidcnn.study.ledger import summary, summary_sentence
    from covidcnn.study.protocol import read_protocol, read_study, studies

    first, store, evidence = read_protocol(PROTOCOL), open_store(STORE), None
    if "recipe" in studies():
        second = read_study("recipe")
        evidence = read_evidence(second, open_store(second.store))
        write_recipes(second, evidence, read_evidence(first, store), second.path.parent)
        say(f"second study: {second.path.parent / 'tables'}")
    claims = write_evidence(first, store, PROTOCOL.parent, evidence)
    printed = Table("verdict", "claims", title=f"{len(claims)} claims of the paper")
    for verdict, count in summary(claims)["claims"].items():
        printed.add_row(verdict, str(count))
    plain_console().print(printed)
    say(summary_sentence(claims))
    say(f"ledger: {PROTOCOL.parent / 'claims.md'}")


def numbers() -> None:
    """Make the numbers in README, docs and notebooks anew from the tables of reports/paper."""
    from covidcnn.report.blocks import pages, refresh

    stale = [page.name for page in pages() if refresh(page)]
    print(f"made anew: {', '.join(stale)}" if stale else "all as in the tables")


def complete(data: ImagesOption = None, originals: OriginalsOption = None) -> None:
    """Run whatever the protocol still lacks, the arms that choose first, then make the ledger: hours from an empty
    store, minutes from a full one."""
    from covidcnn.paper.studies import PROTOCOL, STORE
    from covidcnn.study.access_log import open_store
    from covidcnn.study.baseline import read_baseline
    from covidcnn.study.protocol import read_protocol

    protocol = read_protocol(PROTOCOL)
    dataset, store = _open_protocols_data(protocol, data), open_store(STORE)
    # What is chosen on validation comes before the first test image.
    for name in sorted(protocol.arms, key=lambda name: not protocol.arm(name).select):
        say(f"arm {name}")
        trials = protocol.trials(name)
        run_and_watch(trials, store, dataset)
        if protocol.arm(name).select:
            # What another process has in hand is waited for, or taken over should it die.
            for trial in trials:
                store.run(dataset, trial)
            select(name)
    if read_baseline(STORE) is None:
        baseline(data, originals)
    ledger()


def _open_protocols_data(protocol: "Protocol", data: Path | None) -> "DataSet":
    dataset = open_data(data)
    if dataset.content_hash != protocol.data:
        raise UserError(f"{dataset.root}: not the images that {protocol.path} is about; give the published data set at "
                        "224 px with --data ('covidcnn data resize' makes it of the originals)")
    return dataset


def status(study: StudyOption = "paper") -> None:
    """Which trials of a protocol are in its store."""
    from covidcnn.study.access_log import open_store
    from covidcnn.study.protocol import read_study

    protocol = read_study(study)
    store = open_store(protocol.store)
    table = Table("arm", "trials", "finished", "scores test", "question")
    for name, arm in protocol.arms.items():
        try:
            sweep = protocol.sweep(name)
        except UserError as error:
            say(str(error))
            table.add_row(name, "", "", "yes", arm.question)
            continue
        trials = sweep.trials(protocol.data, protocol.task)
        table.add_row(name, str(len(trials)), str(sum(map(store.is_finished, trials))),
                      "yes" if sweep.score_test else "no", arm.question)
    plain_console().print(table)
