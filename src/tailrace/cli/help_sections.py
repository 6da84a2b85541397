"""The options of a long command in sections: an option of one name stands in the same section, wherever it is."""

import re
from collections.abc import Mapping, Sequence

import click

#: A command with fewer options lists them as they are.
_MANY = 9

_SECTIONS: Mapping[str, str] = {
    "Which dates": "--start --end --logical-date",
    "Which runs and tasks": "--state --failed-tasks --task --tasks --upstream --downstream --downstream-failed "
    "--only-failed --map-index --try --failed",
    "What runs": "--dags --reprocess --new --conf --run-id --pool --disable-retry --mark-success "
    "--ignore-first-depends-on-past",
    "What is simulated": "--seeds --first --seed --smaller --processes --worlds --scenario --canary --preemptions "
    "--crashes",
    "How": "--workers --executor --isolation --max-active-runs --backwards --stop-on-failure --fail-on-task-failure "
    "--detach --until-idle --jobs",
    "What it says": "--type --host --login --password --schema --port --extra --description",
    "Before anything is written": "--dry-run --yes",
    "Output": "--output --limit --watch --follow --timestamps --callbacks --trace --verbose --quiet --help",
}
_OTHER = "Options"
_RANGE = re.compile(r"(; |\[)(-?\d+)<=x<=(\d+)\]")
_BOUNDED = 1000  # what may be more has no bound worth a word


#: By which a command takes logical dates.
_DATES = {"start", "end", "logical_date", "run", "runs"}
_ZONES = "Dates typed without an offset are in the DAG's time zone (UTC where no DAG is named); times are shown in UTC."


def write_zones(command: click.Command, formatter: click.HelpFormatter) -> None:
    """Where dates are typed: in which zone they are, and in which zone times are shown."""
    if _DATES & {each.name for each in command.params}:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(_ZONES)


def write_options(command: click.Command, context: click.Context, formatter: click.HelpFormatter) -> None:
    """The command's options with their help, in sections if there are many."""
    options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    listed = [
        (each.opts[-1], (record[0], _without_range(record[1])))
        for each in options
        if (record := each.get_help_record(context)) is not None
    ]
    if len(listed) < _MANY:
        _write("Options", [record for _, record in listed], formatter)
        return
    known = {name: section for section, names in _SECTIONS.items() for name in names.split()}
    for section in (_OTHER, *_SECTIONS):
        _write(section, [record for name, record in listed if known.get(name, _OTHER) == section], formatter)


def _without_range(text: str) -> str:
    """click's ``[1<=x<=2147483647]`` says nothing that a person wants to know; what is bounded is said in words."""

    def said(found: re.Match[str]) -> str:
        before, least, most = found.groups()
        between = "" if int(most) > _BOUNDED else f"{least} to {most}"
        return f"{before}{between}]" if between else "]" if before == "; " else ""

    return _RANGE.sub(said, text).rstrip()


def _write(section: str, records: Sequence[tuple[str, str]], formatter: click.HelpFormatter) -> None:
    if records:
        with formatter.section(section):
            formatter.write_dl(records)
