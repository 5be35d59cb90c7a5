"""A campaign: RUNS stories from seed SEED on, the figures, and the story of each that broke a rule."""

import logging
import time

import click

from tests.simulation.rules import BrokenError
from tests.simulation.seeds import run
from tests.simulation.world import World


@click.command()
@click.option("--runs", default=1000)
@click.option("--seed", default=0)
def main(runs: int, seed: int) -> None:
    logging.disable(logging.CRITICAL)
    began, broken, worlds = time.process_time(), 0, Figures()
    for number in range(seed, seed + runs):
        try:
            worlds.add(run(number))
        except BrokenError as story:
            broken += 1
            print(story, end="\n\n")
    took_s = time.process_time() - began
    print(f"{runs} seeds from {seed}, {broken} broke a rule; {worlds.said(took_s)}")
    raise SystemExit(bool(broken))


class Figures:
    def __init__(self) -> None:
        self.worlds = self.events = self.steps = self.epochs = 0
        self.simulated_s = self.stepping_s = 0.0

    def add(self, world: World) -> None:
        self.worlds += 1
        self.events += world.timeline.count
        self.steps += world.steps
        self.epochs += world.epoch
        self.simulated_s += world.timeline.now
        self.stepping_s += world.stepping_s

    def said(self, took_s: float) -> str:
        each_us = 1e6 * self.stepping_s / max(self.steps, 1)
        return (
            f"{self.worlds / took_s:.2f} a second of processor time, {self.simulated_s:.0f} s simulated, "
            f"{self.events} events, {self.steps} steps of {each_us:.0f} us, {self.epochs} epochs committed"
        )


if __name__ == "__main__":
    main()
