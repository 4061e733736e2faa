"""Models of random weights in every format that speaking engines read: small, made in seconds, and of no quality."""

import json
import struct
import wave
from importlib import import_module
from pathlib import Path

CORPUS = [
    "hello world how are you today",
    "the stream is live now",
    "good evening ladies and gentlemen",
    "hallo welt wie geht es dir heute",
    "der strom ist jetzt live",
    "guten abend meine damen und herren",
] * 20
SMALL = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 128,
}
LETTERS = "abcdefghijklmnopqrstuvwxyzáéíñóúüäöß"


def marian(folder: Path) -> Path:
    """English to German, as OPUS-MT is published."""
    pieces = import_module("sentencepiece")
    torch = import_module("torch")
    library = import_module("transformers")
    torch.manual_seed(0)
    folder.mkdir()
    for side in ("source", "target"):
        pieces.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS),
            model_prefix=str(folder / side),
            vocab_size=120,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        (folder / f"{side}.model").rename(folder / f"{side}.spm")
    source = pieces.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    names = [source.id_to_piece(number) for number in range(source.get_piece_size())]
    words = ["</s>", "<unk>", *(name for name in names if not name.startswith("<")), "<pad>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    files = {"source_spm": "source.spm", "target_spm": "target.spm", "vocab": "vocab.json"}
    library.MarianTokenizer(**{name: str(folder / file) for name, file in files.items()}).save_pretrained(folder)
    pad = vocabulary["<pad>"]
    config = library.MarianConfig(
        vocab_size=len(vocabulary),
        pad_token_id=pad,
        decoder_start_token_id=pad,
        eos_token_id=0,
        forced_eos_token_id=0,
        scale_embedding=True,
        **SMALL,
    )
    library.MarianMTModel(config).save_pretrained(folder)
    return folder


def nllb(folder: Path) -> Path:
    """Many languages in one model; its codes are in tokenizer.json alone."""
    torch = import_module("torch")
    library = import_module("transformers")
    tokenizers = import_module("tokenizers")
    torch.manual_seed(3)
    pieces = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    pieces.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=160, show_progress=False, special_tokens=special)
    pieces.train_from_iterator(CORPUS, trainer)
    trained = json.loads(pieces.to_str())["model"]
    merges = [tuple(merge) for merge in trained["merges"]]
    tokenizer = library.NllbTokenizer(vocab=trained["vocab"], merges=merges, src_lang="eng_Latn")
    tokenizer.save_pretrained(folder)
    config = library.M2M100Config(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id,
        **SMALL,
    )
    library.M2M100ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def converted(folder: Path) -> Path:
    """The same model for CTranslate2, in int8."""
    converters = import_module("ctranslate2.converters")
    files = [name for name in ("source.spm", "target.spm", "tokenizer.json") if (folder / name).exists()]
    target = folder.with_name(f"{folder.name}-ct2")
    converters.TransformersConverter(str(folder), copy_files=files).convert(
        str(target), quantization="int8", force=True
    )
    return target


def vits(folder: Path) -> Path:
    """A woman and a man in one VITS."""
    torch = import_module("torch")
    from TTS.config import BaseAudioConfig
    from TTS.tts.configs.shared_configs import CharactersConfig
    from TTS.tts.configs.vits_config import VitsArgs, VitsConfig
    from TTS.tts.models.vits import Vits

    torch.manual_seed(0)
    speakers = folder / "speakers.json"
    speakers.write_text(json.dumps({"female_0": 0, "male_0": 1}))
    arguments = VitsArgs(
        num_chars=70,
        hidden_channels=32,
        hidden_channels_ffn_text_encoder=48,
        num_heads_text_encoder=2,
        num_layers_text_encoder=1,
        num_layers_posterior_encoder=1,
        num_layers_flow=1,
        upsample_initial_channel_decoder=32,
        resblock_type_decoder="2",
        resblock_kernel_sizes_decoder=[3],
        resblock_dilation_sizes_decoder=[[1, 3]],
        use_speaker_embedding=True,
        speaker_embedding_channels=16,
        init_discriminator=False,
        speakers_file=str(speakers),
    )
    config = VitsConfig(
        model_args=arguments,
        audio=BaseAudioConfig(sample_rate=22050, mel_fmin=0.0, mel_fmax=None, do_trim_silence=False),
        use_speaker_embedding=True,
        speakers_file=str(speakers),
        use_phonemes=False,
        text_cleaner="basic_cleaners",
        characters=CharactersConfig(
            characters_class="TTS.tts.models.vits.VitsCharacters",
            pad="_",
            eos="",
            bos="",
            blank="<BLNK>",
            characters=LETTERS,
            punctuations="!'(),-.:;?~ ",
            phonemes="",
        ),
    )
    model = Vits.init_from_config(config)
    torch.save({"model": model.state_dict(), "config": model.config.to_dict()}, folder / "model.pth")
    model.config.save_json(folder / "config.json")
    rows = [{"name": f"{kind}_0", "gender": kind[0], "language": "de"} for kind in ("female", "male")]
    (folder / "voices.json").write_text(json.dumps(rows))
    return folder


def xtts(folder: Path) -> Path:
    """An XTTS, 92 MB since its vocoder has fixed widths, with a recording of one voice."""
    torch = import_module("torch")
    tokenizers = import_module("tokenizers")
    from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig, XttsConfig
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts

    torch.manual_seed(0)
    special = ["[STOP]", "[UNK]", "[SPACE]", "[START]", "[en]", "[de]"]
    vocabulary = {token: number for number, token in enumerate([*special, *f"{LETTERS}.,?!~ "])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"))
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(folder / "vocab.json"))
    arguments = XttsArgs(
        tokenizer_file=str(folder / "vocab.json"),
        gpt_layers=1,
        gpt_n_model_channels=64,
        gpt_n_heads=2,
        gpt_max_audio_tokens=40,
        gpt_max_text_tokens=100,
        gpt_num_audio_tokens=66,
        gpt_start_audio_token=64,
        gpt_stop_audio_token=65,
        gpt_use_perceiver_resampler=True,
        decoder_input_dim=64,
        d_vector_dim=512,
    )
    config = XttsConfig(audio=XttsAudioConfig(), languages=["en", "de"], model_args=arguments)
    config.save_json(str(folder / "config.json"))
    model = Xtts(config)
    model.tokenizer = VoiceBpeTokenizer(vocab_file=str(folder / "vocab.json"))
    model.init_models()
    model.gpt.init_gpt_for_inference(kv_cache=True)
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    with wave.open(str(folder / "ana.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(b"".join(struct.pack("<h", (number * 97) % 8000 - 4000) for number in range(3 * 16_000)))
    (folder / "voices.json").write_text(json.dumps([{"name": "ana", "gender": "f", "recording": "ana.wav"}]))
    return folder
