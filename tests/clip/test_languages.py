"""What may be spoken in a clip depends on the engines: the embedded ones hear English only, and say so."""

import pytest

from services.asr import service as asr
from services.ingest.door import source
from services.ingest.problems import Problem
from services.ingest.served import served
from shared.context import Offer


def test_embedded_engines_say_that_they_hear_english_only() -> None:
    heard = asr.listener(asr.Settings()).spoken
    assert heard == ("en",)
    offered = served({"asr": [Offer(spoken=heard)], "translator": [Offer(pairs=(("en", "es"), ("pl", "es")))]})
    assert source("en", offered) == "en"
    with pytest.raises(Problem) as refused:
        source("pl", offered)
    assert refused.value.detail == "No running engine understands pl. Set source_language to one of: en."
