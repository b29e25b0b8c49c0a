"""`python -m study` says which commands there are."""

import sys

COMMANDS = """commands (each explains its options with --help):

  python -m study.tune     search GAN hyperparameters: a study of many trials
  python -m study.train    train one configuration with several seeds
  python -m study.results  rebuild a study's tables from its trial folders

A first study: python -m study.tune --space wgan_gp"""

if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["-h"], ["--help"]):
        print(f"python -m study takes no arguments, and got {' '.join(sys.argv[1:])}", file=sys.stderr)
        sys.exit(2)
    print(COMMANDS)
