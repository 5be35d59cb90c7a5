"""An older version beside this one, on one store: `python -m tests.versions COMMIT [--record FILE]`."""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.cloud.emulator import Emulator
from tests.versions.checkout import checkout
from tests.versions.record import record
from tests.versions.story import Story


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.versions", description=__doc__)
    parser.add_argument("commit")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write down what that version writes and tells")
    told = parser.parse_args()
    with TemporaryDirectory() as home, Emulator() as aws, checkout(told.commit, Path(home)) as older:
        (pair := Path(home) / "pair").mkdir()
        if told.record:
            told.record.write_text(record(older, pair, aws))
            return
        story = Story(pair, aws, older)
        try:
            story.run()
        finally:
            story.close()


if __name__ == "__main__":
    main()
