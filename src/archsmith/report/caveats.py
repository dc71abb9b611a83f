"""What a careful reader should know before believing the numbers: found in the record, said in
plain words."""

from __future__ import annotations

from archsmith.report import text
from archsmith.report.estimates import verdict
from archsmith.report.run_record import RunRecord
from archsmith.run.records import Trained
from archsmith.run.store import altered

# below so many training images from this side on, pretrained networks win
FEW_PHOTOS, PHOTO_SIDE = 2000, 64


def pretrained_hint(record: RunRecord) -> str | None:
    """Advice to fine-tune instead, where the data set is a small set of photos; None elsewhere."""
    look = record.looked
    images = sum(look.counts.train) if look is not None else 0
    if look is None or not images or images >= FEW_PHOTOS or look.size < PHOTO_SIDE:
        return None
    if record.request.init:
        return (
            f"These are few photos ({text.count(images)} for training), and the networks here "
            f"started from the weights in "
            f"{record.request.init}. If those were not trained on a large photo collection, "
            f"fine-tuning a network that was "
            "would very likely be more accurate."
        )
    return (
        f"With only {text.count(images)} training photos, fine-tuning a pretrained network is the "
        f"better tool. One that has "
        "already seen millions of photos will very likely be more accurate than any network "
        "trained from nothing, this one "
        "included. Prefer this one where it must be this small, where pretrained weights may not "
        "be used, or where your "
        "images look nothing like photos. If you have weights that fit, start from them with "
        "--init FILE."
    )


def caveats(record: RunRecord) -> list[str]:
    """One short paragraph each, the weightiest first."""
    read_as = [f"What was asked for was read so: {note}." for note in record.run.notes]
    return [
        *_about_testing(record),
        *_about_data(record),
        *_about_method(record),
        *_about_shipping(record),
        *read_as,
    ]


def _about_testing(record: RunRecord) -> list[str]:
    finish, look, test = record.finished, record.looked, record.test
    notes = []
    if finish is not None and look is not None and test is not None:
        notes.append(
            f"The test set has {text.plural(test.n, 'image')}, so the {record.measure} is known as "
            f"{text.span(*test.interval)} "
            f"({text.LEVEL} interval), no more precisely. It was looked at once, after the choice "
            f"was made"
            + (", and before by the run that this one goes on from." if finish.further else ".")
        )
        scarce = [c for c, n in zip(look.classes, look.counts.test, strict=False) if n < 10]
        if scarce:
            names = ", ".join(scarce[:5]) + (
                f" and {len(scarce) - 5} more" if len(scarce) > 5 else ""
            )
            notes.append(
                f"Fewer than ten test images in {names}: the recall of such a class says little."
            )
        validation, networks = sum(look.counts.val), len(finish.networks)
        if networks > 1 and validation:
            notes.append(
                f"The chosen network was the best of {networks} on "
                f"{text.plural(validation, 'validation image')}. The best of "
                "several looks a little better there than it is; compare results on test images "
                "only."
            )
        notes.append(
            "One seed: another seed gives another split, other networks and a somewhat "
            "different result."
        )
    return notes


def _about_data(record: RunRecord) -> list[str]:
    look = record.looked
    if look is None:
        return []
    notes = []
    if look.duplicates.exact or look.duplicates.near:
        notes.append(
            f"{text.plural(look.duplicates.exact, 'exact duplicate')} and "
            f"{text.count(look.duplicates.near)} near "
            "ones lie across training, validation and test images. They make the accuracies look "
            "better than they are."
        )
    if look.unreadable:
        notes.append(
            f"{text.plural(len(look.unreadable), 'file')} could not be read and took no part."
        )
    if text.is_number(look.imbalance) and look.imbalance >= 3:
        notes.append(
            f"The largest class has {text.short(look.imbalance)} times as many images as the "
            f"smallest: read "
            "balanced accuracy and the recall of each class rather than accuracy."
        )
    return notes


def _about_method(record: RunRecord) -> list[str]:
    finish = record.finished
    notes = []
    if isinstance(record.trained, Trained):
        notes.append(verdict(record.trained.trust))
    elif record.proxy and record.screened is not None:
        notes.append(
            f"{text.name(record.proxy)} ranks networks without training them. It finds good ones "
            f"often, not always: "
            "a network it ranks low may train well."
        )
    if finish is not None:
        if record.request.time_s is not None and not record.request.steps:
            notes.append(
                "The budget was time: a faster or less busy machine trains longer and may "
                "choose another network."
            )
        if finish.taught is not None:
            notes.append(
                f"Besides the labels the networks, the hand-made ones too, learned from a teacher: "
                f"{finish.taught}."
            )
        failed = [net.failed for net in finish.networks.values() if net.failed]
        if failed:
            notes.append(
                f"{text.plural(len(failed), 'network')} failed to train ({failed[0]}) and "
                f"could not be chosen."
            )
        if finish.reference is None:
            notes.append(
                "No hand-made reference network was trained, so this run does not show "
                "whether the search paid."
            )
    return notes


def _about_shipping(record: RunRecord) -> list[str]:
    ship = record.shipped
    if ship is None:
        return []
    notes = [
        f"best/{path.name} is no longer the file that was shipped: what this page says is of the "
        f"file that was."
        for path in altered(record.folder, ship)
    ]
    for limit in ship.budget:
        if not limit.met:
            value, bound = (text.metric(side, limit.metric) for side in (limit.value, limit.limit))
            notes.append(
                f"The shipped file misses the budget: {text.name(limit.metric)} is "
                f"{value}, the limit {bound}."
            )
    for fallen in ship.fell_back:
        notes.append(
            f"A better candidate ({fallen.key[:8]}) was passed over when it was shipped: "
            f"{fallen.why}."
        )
    if ship.refit:
        notes.append(
            "The network in best/ was trained once more, on the validation images as well; its "
            "accuracy on them is that of before, and nothing was chosen by what it does now."
        )
    if ship.latency_ms is not None:
        notes.append(
            f"Latency was measured on {ship.latency_ms.machine or 'this machine'}; "
            f"elsewhere it will differ."
        )
    for skipped in ship.skipped:
        notes.append(f"{skipped.name} was not shipped: {skipped.why}.")
    return notes
