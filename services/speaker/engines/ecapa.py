"""ECAPA-TDNN by speechbrain (Apache-2.0): Desplanques et al. 2020, arXiv 2005.07143."""

from importlib import import_module
from typing import Any

from services.speaker.engines import Options
from services.speaker.engines.neural import Neural


class Ecapa(Neural):
    """Any of speechbrain's speaker encoders in the folder `ecapa`."""

    same = 0.45
    different = 0.25

    def __init__(self, options: Options) -> None:
        super().__init__(options, "ecapa", "hyperparams.yaml")
        path = str(self.folder)
        library: Any = import_module("speechbrain.inference.classifiers")
        # A path that is not absolute would be looked for on the network.
        self._model = library.EncoderClassifier.from_hparams(
            source=path, savedir=path, overrides={"pretrained_path": path}, run_opts={"device": options.device}
        )

    def vector(self, sound: Any) -> Any:
        """The embedding of one piece, shape (1, 1, size)."""
        return self._model.encode_batch(sound)
