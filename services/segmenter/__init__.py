"""Words in, utterances out."""
