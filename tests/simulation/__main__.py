"""A campaign: RUNS stories from seed SEED on, JOBS at a time, the figures, and the story of each that broke a rule."""

import multiprocessing
from collections.abc import Sequence

import click

from tests.simulation.seeds import Told, told


@click.command()
@click.option("--runs", default=1000)
@click.option("--seed", default=0)
@click.option("--jobs", default=1)
def main(runs: int, seed: int, jobs: int) -> None:
    ran: list[Told] = []
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for each in pool.imap_unordered(told, range(seed, seed + runs), chunksize=10):
            ran.append(each)
            if each.story:
                print(each.story, end="\n\n", flush=True)
    broken = sum(bool(each.story) for each in ran)
    print(f"{runs} seeds from {seed}, {broken} broke a rule; {_figures(ran)}")
    raise SystemExit(bool(broken))


def _figures(ran: Sequence[Told]) -> str:
    """Of what was told to the end."""
    whole = [each for each in ran if not each.story]
    took_s, simulated_s = sum(each.took_s for each in whole), sum(each.simulated_s for each in whole)
    steps, stepping_s = sum(each.steps for each in whole), sum(each.stepping_s for each in whole)
    return (
        f"{len(whole) / max(took_s, 1e-9):.2f} a second of processor time, {simulated_s:.0f} s simulated, "
        f"{sum(each.events for each in whole)} events, {steps} steps of {1e6 * stepping_s / max(steps, 1):.0f} us, "
        f"{sum(each.epochs for each in whole)} epochs committed"
    )


if __name__ == "__main__":
    main()
