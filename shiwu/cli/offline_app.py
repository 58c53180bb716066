"""The commands of offline work; there where its packages are installed (extra `jobs`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shiwu.cli import jobs, review
from shiwu.cli.connection import fail_clearly

jobs_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run, show, stop and resume offline jobs.",
)
review_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Look at what jobs propose, and accept or reject it.",
)

Detach = Annotated[bool, typer.Option("--detach", help="Only put it into the queue: workers take it.")]
Ids = Annotated[list[str], typer.Argument(help="As `list` shows them.")]
Note = Annotated[str, typer.Option(help="Why, for others.")]


@jobs_app.command("run")
def _run(
    name: Annotated[str, typer.Argument(help="dedup, denoise and so on.")],
    options: Annotated[Path | None, typer.Option(help="YAML file of the job's options.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="name=value; may be repeated.")] = None,
    job_id: Annotated[str, typer.Option("--id", help="Of the new job. [default: name and time]")] = "",
    detach: Detach = False,
) -> None:
    """Run a job here until it is done. Interrupted, it goes on with `resume`."""
    with fail_clearly():
        done = jobs.run(name, options, setting or [], job_id, detach=detach)
    raise typer.Exit(0 if done else 4)


@jobs_app.command("resume")
def _resume(job_id: str, detach: Detach = False) -> None:
    """Go on with a job that was interrupted or cancelled, or has dead tasks. What is done is not done again."""
    with fail_clearly():
        done = jobs.resume(job_id, detach=detach)
    raise typer.Exit(0 if done else 4)


@jobs_app.command("work")
def _work() -> None:
    """Work on jobs from the queue until Ctrl-C. JOBS_WORKER names the worker."""
    with fail_clearly():
        jobs.work()


@jobs_app.command("list")
def _list() -> None:
    """List the jobs."""
    with fail_clearly():
        jobs.show_all()


@jobs_app.command("show")
def _show(job_id: str) -> None:
    """Show how far a job is."""
    with fail_clearly():
        jobs.show(job_id)


@jobs_app.command("cancel")
def _cancel(job_id: str) -> None:
    """Stop a job; tasks under way end first."""
    with fail_clearly():
        jobs.cancel(job_id)


@jobs_app.command("dead")
def _dead(job_id: str) -> None:
    """Show the tasks that were given up, and why. `resume` tries them again."""
    with fail_clearly():
        alive = jobs.dead(job_id)
    raise typer.Exit(0 if alive else 4)


@review_app.command("list")
def _list_proposals(
    state: Annotated[str, typer.Option(help="open, accepted or rejected.")] = "open",
    kind: Annotated[str | None, typer.Option(help="Only this kind, such as duplicate.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 20,
) -> None:
    """List proposals, the surest first."""
    with fail_clearly():
        review.show_all(state, kind, limit)


@review_app.command("show")
def _show_proposal(proposal_id: str) -> None:
    """Show a proposal with its evidence, as JSON."""
    with fail_clearly():
        review.show(proposal_id)


@review_app.command("accept")
def _accept(proposal_ids: Ids, note: Note = "") -> None:
    """Accept proposals."""
    with fail_clearly():
        review.decide(proposal_ids, note, accept=True)


@review_app.command("reject")
def _reject(proposal_ids: Ids, note: Note = "") -> None:
    """Reject proposals; they are not asked again."""
    with fail_clearly():
        review.decide(proposal_ids, note, accept=False)


@review_app.command("accept-above")
def _accept_above(score: float, kind: Annotated[str, typer.Option(help="Such as duplicate.")]) -> None:
    """Accept all open proposals of a kind with at least this score."""
    with fail_clearly():
        review.accept_above(score, kind)
