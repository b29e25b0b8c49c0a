"""`python -m study` says which commands there are."""

COMMANDS = """commands (each explains its options with --help):

  python -m study.tune     search GAN hyperparameters: a study of many trials
  python -m study.train    train one configuration with several seeds
  python -m study.results  rebuild a study's tables from its trial folders

A first study: python -m study.tune --space wgan_gp"""

if __name__ == "__main__":
    print(COMMANDS)
