"""TitaNet by NeMo (Apache-2.0): Koluguri et al. 2021, arXiv 2110.04410."""

from importlib import import_module
from typing import Any

from services.speaker.engines import Options
from services.speaker.engines.neural import Neural, file


class TitaNet(Neural):
    """The .nemo file of a speaker model in the folder `titanet`."""

    same = 0.5
    different = 0.3

    def __init__(self, options: Options) -> None:
        super().__init__(options, "titanet", "*.nemo")
        import_module("nemo.utils").logging.setLevel("ERROR")
        library: Any = import_module("nemo.collections.asr.models").EncDecSpeakerLabelModel
        self._model = library.restore_from(file(self.folder, "*.nemo"), map_location=options.device).eval()

    def vector(self, sound: Any) -> Any:
        """The embedding of one piece, shape (1, size)."""
        length = self._torch.tensor([sound.shape[1]], device=sound.device)
        return self._model(input_signal=sound, input_signal_length=length)[1]
