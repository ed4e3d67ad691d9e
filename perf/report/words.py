"""What a report says, in its reader's language: every sentence out of a record's values is made here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from photofinish.errors import ConfigError
from photofinish.perf.formatting import tick_label
from photofinish.perf.judge.claims import Claim
from photofinish.perf.judge.reasons import Reason
from photofinish.perf.record.changes import Change, NotRun
from photofinish.perf.record.record import Arm, Record, Section
from photofinish.perf.report.cameras.labels import PLAN_LABELS
from photofinish.perf.report.labels import LABELS
from photofinish.perf.report.sentences import SENTENCES

LANGUAGES = ("en", "zh")
ENTRIES = {**LABELS, **SENTENCES, **PLAN_LABELS}


_NETWORK = re.compile(r"(.+?)_(?:torch|onnx|trt|aoti|openvino)_")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language. Called with the key of an entry it gives that entry, filled with the values.

    network: what the names of all variants begin with, which is left out of them; "" to leave nothing out.
    longer: the flag of the command in hand that makes a measurement longer.
    """

    lang: str = "en"
    network: str = ""
    longer: str = "--minutes"

    def __post_init__(self) -> None:
        """Raise ConfigError for a language that there is no report in."""
        if self.lang not in LANGUAGES:
            raise ConfigError(f"language must be of {list(LANGUAGES)}, got {self.lang!r}")

    def __call__(self, key: str, /, **values: Any) -> str:
        """The word or sentence of that key."""
        return ENTRIES[key][LANGUAGES.index(self.lang)].format(longer=self.longer, **values)

    def short(self, model: str) -> str:
        """A variant's name without the network's: `onnx_fp16`."""
        return model.removeprefix(f"{self.network}_") if self.network else model

    def named(self, kind: str, name: str) -> str:
        """The entry of `<kind>_<name>`; the name itself where there is none: somebody else has chosen it."""
        return self(f"{kind}_{name}") if f"{kind}_{name}" in ENTRIES else name

    def section(self, section: Section) -> str:
        """A section's name; a paced one has its rate in frames a second."""
        if section.kind == "comparison" and section.load.rate_rps:
            return self("section_paced", rate=tick_label(section.load.rate_rps))
        return self.named("section", section.name)

    def arm(self, arm: Arm) -> str:
        """What an arm is called: its own label, its rung of the ladder, its row of a sweep, its model."""
        if arm.span == "request" and not (arm.label or arm.rung):
            return self._cell(arm)
        return arm.label or (self._rung(arm) if arm.rung else self.short(arm.model))

    def changes(self, changes: Iterable[Change]) -> str:
        """`engine pytorch → onnxruntime, precision fp32 → fp16`."""
        return ", ".join(
            f"{self(f'change_{item.noun}')} {self.named('side', item.was)} → {self.named('side', item.now)}"
            for item in changes
        )

    def not_run(self, items: Iterable[NotRun]) -> str:
        """What of a section was not run, and why; "" where all was."""
        listed = self.semicolon.join(f"{self.subject(item)}{self.colon}{self.why(item)}" for item in items)
        return f"{self('h_not_run')}{self.colon}{listed}{self.stop}" if listed else ""

    def reason(self, reason: Reason) -> str:
        """Why a section is not valid, and what to do about it."""
        values = {"section": self.section(reason.section) if reason.section else ""}
        values["arm"] = ", ".join(map(self.arm, reason.arms))
        values["throttles"] = ", ".join(self.named("throttle", item) for item in reason.throttles)
        said, advice = (self(f"{kind}_{reason.key}", **values, **reason.values) for kind in ("reason", "advice"))
        return f"{said}{self.semicolon}{advice}{self.stop}"

    def arm_of_claim(self, claim: Claim) -> str:
        """Whose figure it is; among rivals, where all gains are ours, over whom. "" where there is none."""
        arm = claim.against if claim.section.kind == "rivals" else claim.arm
        return self.arm(arm) if arm else ""

    def claims(self, claims: Iterable[Claim]) -> str:
        """What is claimed, each thing once: `P95`, `FP16 P50`."""
        names = (
            " ".join(
                filter(
                    None,
                    (
                        "" if claim.section.kind == "comparison" else self.arm_of_claim(claim),
                        self.named("claim", claim.figure or "figures"),
                    ),
                )
            )
            for claim in claims
        )
        return self.comma.join(dict.fromkeys(names))

    def dataset(self, name: str, frames: Any) -> str:
        """A data set with its size."""
        key = "dataset_synthetic" if name == "synthetic camera" else "dataset_frames"
        return self(key, dataset=name, frames=frames)

    @property
    def comma(self) -> str:
        """Between two parts of a sentence."""
        return ", " if self.lang == "en" else "，"

    @property
    def colon(self) -> str:
        """After a name."""
        return ": " if self.lang == "en" else "："

    @property
    def semicolon(self) -> str:
        """Between two sentences of a line."""
        return "; " if self.lang == "en" else "；"

    @property
    def stop(self) -> str:
        """At the end of a sentence."""
        return "." if self.lang == "en" else "。"

    def why(self, item: NotRun) -> str:
        """Why something was not run."""
        try:
            needed = {"what": self(f"needs_{item.values['what']}")} if item.key == "needs" else {}
            if item.key == "several":
                needed = {"what": self.comma.join(self(f"change_{noun}") for noun in item.values["nouns"])}
            return self(f"not_run_{item.key}", **{**item.values, **needed})
        except KeyError:  # a reason that a later version knows
            return " ".join([item.key, *map(str, item.values.values())])

    def subject(self, item: NotRun) -> str:
        """What was not run."""
        if item.label or item.rung:
            return self.short(item.label) or self._rung(item)
        if item.concurrency and not item.model:
            return self("level", concurrency=item.concurrency)
        if not item.concurrency:
            return self("cell_size", model=self.short(item.model), batch=item.batch_size)
        cell = self._cell(item)
        return self("cell_tool", generator=item.generator, cell=cell) if item.generator else cell

    def _rung(self, item: Arm | NotRun) -> str:
        key = f"rung_{item.rung}"
        return self(key, concurrency=item.concurrency, batch=item.batch_size) if key in ENTRIES else item.rung

    def _cell(self, item: Arm | NotRun) -> str:
        values = {"model": self.short(item.model), "concurrency": item.concurrency, "batch": item.batch_size}
        return self("cell_batch" if item.batch_size > 1 else "cell", **values)


def words_for(record: Record, lang: str) -> Words:
    """The words for a report about that record: where all variants are of one network, their names are short."""
    models = [arm.model for section in record.sections for arm in section.arms]
    models += [item.model for section in record.sections for item in section.not_run]
    networks = {found[1] if (found := _NETWORK.match(name)) else "" for name in models if name}
    return Words(lang, networks.pop() if len(networks) == 1 else "")


ENGLISH = Words()
