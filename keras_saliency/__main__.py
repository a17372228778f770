"""``python -m keras_saliency``: the command ``keras-saliency``."""

import sys

from keras_saliency.cli import main

if __name__ == "__main__":
    sys.exit(main())
