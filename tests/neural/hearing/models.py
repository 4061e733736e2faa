"""Models of random weights in the formats that adapters read: what they say is nonsense, shapes and times are not."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

# Before any library looks: nothing is fetched.
os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "WANDB_MODE": "disabled"}

LABELS = ("0", ".", ",", "?", "-", ":")
SIZE = 32
"""Dimensions of the networks."""
SENTENCES = ("hello world how are you today", "the stream is live now", "good evening ladies and gentlemen")
ECAPA: dict[str, Any] = {
    "channels": [16, 16, 16, 16, 48],
    "kernel_sizes": [5, 3, 3, 3, 1],
    "dilations": [1, 2, 3, 4, 1],
    "attention_channels": 8,
    "res2net_scale": 4,
    "se_channels": 8,
    "lin_neurons": 16,
}
HYPERPARAMETERS = """
pretrained_path: .
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: 24
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: 24
{sizes}
classifier: !new:speechbrain.lobes.models.ECAPA_TDNN.Classifier
    input_size: 16
    out_neurons: 2
modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    classifier: !ref <classifier>
label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
        classifier: !ref <classifier>
        label_encoder: !ref <label_encoder>
    paths:
        embedding_model: !ref <pretrained_path>/embedding_model.ckpt
        classifier: !ref <pretrained_path>/classifier.ckpt
        label_encoder: !ref <pretrained_path>/label_encoder.txt
"""
NEMO = "nemo.collections.asr"


def whisper(folder: Path) -> Path:
    """A Whisper in CTranslate2's format: a vocabulary of bytes, all languages and times."""
    torch, library, tokens = (import_module(name) for name in ("torch", "transformers", "tokenizers"))
    converter = import_module("ctranslate2.converters").TransformersConverter
    codes = import_module("faster_whisper.tokenizer")._LANGUAGE_CODES
    torch.manual_seed(12)
    bytes_ = tokens.pre_tokenizers.ByteLevel
    vocabulary = {letter: number for number, letter in enumerate(sorted(bytes_.alphabet()))}
    # What CTranslate2 tells a model with languages by.
    vocabulary[""] = len(vocabulary)
    tokenizer = tokens.Tokenizer(tokens.models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = bytes_(add_prefix_space=False)
    tokenizer.decoder = tokens.decoders.ByteLevel()
    languages = [f"<|{code}|>" for code in list(codes)[:99]]
    names = ["endoftext", "startoftranscript", *(code[2:-2] for code in languages)]
    names += ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
    tokenizer.add_special_tokens([tokens.AddedToken(f"<|{name}|>", special=True, normalized=False) for name in names])
    tokenizer.add_tokens([tokens.AddedToken(f"<|{step * 0.02:.2f}|>", normalized=False) for step in range(1501)])
    token = tokenizer.token_to_id
    end, begin = token("<|endoftext|>"), token("<|startoftranscript|>")
    ids = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": begin}
    source = folder / "transformers"
    marks = {f"{name}_token": "<|endoftext|>" for name in ("bos", "eos", "unk", "pad")}
    library.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(source)
    model = library.WhisperForConditionalGeneration(
        library.WhisperConfig(
            vocab_size=tokenizer.get_vocab_size(),
            d_model=SIZE,
            encoder_layers=1,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=2 * SIZE,
            decoder_ffn_dim=2 * SIZE,
            num_mel_bins=80,
            **ids,
        )
    )
    model.generation_config = library.GenerationConfig(**ids)
    special = {
        # Word times come from these heads.
        "alignment_heads": [[1, 0], [1, 1]],
        "lang_to_id": {code: token(code) for code in languages},
        "suppress_tokens": [],
        "begin_suppress_tokens": [end],
        "no_timestamps_token_id": token("<|notimestamps|>"),
    }
    for name, value in special.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(source)
    library.WhisperFeatureExtractor(feature_size=80).save_pretrained(source)
    copied = ["tokenizer.json", "preprocessor_config.json"]
    converter(str(source), copy_files=copied).convert(str(folder / "ct2"), quantization="int8", force=True)
    return folder / "ct2"


def punctuation(folder: Path) -> Path:
    """An XLM-R token classifier with the labels of the fullstop models."""
    torch, library, tokens = (import_module(name) for name in ("torch", "transformers", "tokenizers"))
    torch.manual_seed(0)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces = tokens.Tokenizer(tokens.models.Unigram())
    pieces.pre_tokenizer = tokens.pre_tokenizers.Metaspace()
    trainer = tokens.trainers.UnigramTrainer(
        vocab_size=80, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    pieces.train_from_iterator(list(SENTENCES) * 5, trainer)
    pieces.post_processor = tokens.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = dict(zip(("bos", "pad", "eos", "unk", "mask"), special, strict=True))
    library.PreTrainedTokenizerFast(
        tokenizer_object=pieces, model_max_length=64, **{f"{name}_token": token for name, token in names.items()}
    ).save_pretrained(folder)
    library.XLMRobertaForTokenClassification(
        library.XLMRobertaConfig(
            vocab_size=pieces.get_vocab_size() + 8,
            hidden_size=SIZE,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=2 * SIZE,
            max_position_embeddings=70,
            type_vocab_size=1,
            pad_token_id=1,
            id2label=dict(enumerate(LABELS)),
            label2id={label: number for number, label in enumerate(LABELS)},
        )
    ).save_pretrained(folder)
    return folder


def ecapa(folder: Path) -> Path:
    """A speechbrain ECAPA-TDNN with its hyperparameters."""
    torch, library = import_module("torch"), import_module("speechbrain.lobes.models.ECAPA_TDNN")
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    sizes = "\n".join(f"    {name}: {value}" for name, value in ECAPA.items())
    (folder / "hyperparams.yaml").write_text(HYPERPARAMETERS.format(sizes=sizes))
    torch.save(library.ECAPA_TDNN(24, **ECAPA).state_dict(), folder / "embedding_model.ckpt")
    torch.save(library.Classifier(16, out_neurons=2).state_dict(), folder / "classifier.ckpt")
    (folder / "label_encoder.txt").write_text("'a' => 0\n'b' => 1\n================\n'starting_index' => 0\n")
    return folder


def titanet(folder: Path) -> Path:
    """A NeMo TitaNet."""
    torch, models = import_module("torch"), import_module(f"{NEMO}.models")
    quiet()
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    config = {
        # Labels and rate are read from here, also when nothing is trained.
        "train_ds": {"defer_setup": True, "manifest_filepath": None, "sample_rate": 16000, "labels": ["a", "b"]},
        "validation_ds": None,
        "sample_rate": 16000,
        "preprocessor": _spectrum(16, "per_feature"),
        "encoder": {
            "_target_": f"{NEMO}.modules.ConvASREncoder",
            "feat_in": 16,
            "activation": "relu",
            "conv_mask": True,
            "jasper": [_block(32, 3), _block(32, 7, 2), _block(48, 1)],
        },
        "decoder": {
            "_target_": f"{NEMO}.modules.SpeakerDecoder",
            "feat_in": 48,
            "num_classes": 2,
            "pool_mode": "attention",
            "emb_sizes": 24,
        },
        "loss": {"_target_": f"{NEMO}.losses.angularloss.AngularSoftmaxLoss", "scale": 30, "margin": 0.2},
        "optim": {"name": "sgd", "lr": 0.1},
    }
    models.EncDecSpeakerLabelModel(cfg=import_module("omegaconf").OmegaConf.create(config)).save_to(
        str(folder / "titanet.nemo")
    )
    return folder


def fastconformer(folder: Path) -> Path:
    """A NeMo cache-aware FastConformer (RNN-T and CTC) that says about three words a second, whatever it hears."""
    torch, models = import_module("torch"), import_module(f"{NEMO}.models")
    quiet()
    torch.manual_seed(3)
    pieces = folder / "tokenizer"
    pieces.mkdir(parents=True)
    library: Any = import_module("sentencepiece")
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_prefix=str(pieces / "tokenizer"),
        vocab_size=48,
        hard_vocab_limit=False,
        minloglevel=2,
        bos_id=-1,
        eos_id=-1,
    )
    known = library.SentencePieceProcessor(model_file=str(pieces / "tokenizer.model"))
    (pieces / "vocab.txt").write_text("\n".join(known.id_to_piece(i) for i in range(known.get_piece_size())))
    modules = f"{NEMO}.modules"
    config = {
        "sample_rate": 16000,
        "log_prediction": False,
        "train_ds": None,
        "validation_ds": None,
        "skip_nan_grad": False,
        "model_defaults": {"enc_hidden": SIZE, "pred_hidden": SIZE, "joint_hidden": SIZE},
        "tokenizer": {"dir": str(pieces), "type": "bpe"},
        "preprocessor": _spectrum(80, "NA"),
        "encoder": {
            "_target_": f"{modules}.ConformerEncoder",
            "feat_in": 80,
            "feat_out": -1,
            "n_layers": 2,
            "d_model": SIZE,
            "use_bias": False,
            "subsampling": "dw_striding",
            "subsampling_factor": 8,
            "subsampling_conv_channels": 16,
            "causal_downsampling": True,
            "ff_expansion_factor": 2,
            "self_attention_model": "rel_pos",
            "n_heads": 2,
            "att_context_size": [[56, 13], [56, 6], [56, 1], [56, 0]],
            "att_context_style": "chunked_limited",
            "xscaling": False,
            "untie_biases": True,
            "pos_emb_max_len": 5000,
            "conv_kernel_size": 9,
            "conv_norm_type": "layer_norm",
            "conv_context_size": "causal",
            "dropout": 0.0,
            "dropout_pre_encoder": 0.0,
            "dropout_emb": 0.0,
            "dropout_att": 0.0,
        },
        "decoder": {
            "_target_": f"{modules}.RNNTDecoder",
            "normalization_mode": None,
            "random_state_sampling": False,
            "blank_as_pad": True,
            "prednet": {"pred_hidden": SIZE, "pred_rnn_layers": 1, "t_max": None, "dropout": 0.0},
        },
        "joint": {
            "_target_": f"{modules}.RNNTJoint",
            "log_softmax": None,
            "preserve_memory": False,
            "fuse_loss_wer": False,
            "fused_batch_size": -1,
            "jointnet": {"joint_hidden": SIZE, "activation": "relu", "dropout": 0.0},
        },
        "decoding": {"strategy": "greedy_batch", "greedy": {"max_symbols": 1, "use_cuda_graph_decoder": False}},
        "aux_ctc": {
            "ctc_loss_weight": 0.3,
            "use_cer": False,
            "ctc_reduction": "mean_batch",
            "decoding": {"strategy": "greedy"},
            "decoder": {
                "_target_": f"{modules}.ConvASRDecoder",
                "feat_in": SIZE,
                "num_classes": -1,
                "vocabulary": [],
            },
        },
        "loss": {"loss_name": "default"},
        "optim": {"name": "adamw", "lr": 1e-3},
    }
    model = models.EncDecHybridRNNTCTCBPEModel(cfg=import_module("omegaconf").OmegaConf.create(config))
    normal, joint, memory = torch.nn.init.normal_, model.joint, model.decoder.prediction
    # A random network says one thing over and over; wide weights make it change its mind.
    torch.manual_seed(28)
    normal(joint.pred.weight, std=8.0)
    normal(joint.joint_net[-1].weight, std=1.0)
    normal(joint.enc.weight, std=2.0)
    normal(memory["embed"].weight, std=3.0)
    for name, weight in memory["dec_rnn"].named_parameters():
        if "weight" in name:
            normal(weight, std=0.5)
    with torch.no_grad():
        bias = joint.joint_net[-1].bias.zero_()
        bias[[number for number in range(known.get_piece_size()) if known.id_to_piece(number)[0] == "\u2581"]] = 3.0
        # Neither the unknown piece nor silence.
        bias[[0, -1]] = -50.0
    model.save_to(str(folder / "fastconformer.nemo"))
    return folder


def quiet() -> None:
    """Keep NeMo from telling whole configurations."""
    import_module("nemo.utils").logging.setLevel("ERROR")


def _spectrum(features: int, normalise: str) -> dict[str, object]:
    return {
        "_target_": f"{NEMO}.modules.AudioToMelSpectrogramPreprocessor",
        "normalize": normalise,
        "window_size": 0.025,
        "sample_rate": 16000,
        "window_stride": 0.01,
        "window": "hann",
        "features": features,
        "n_fft": 512,
        "frame_splicing": 1,
        "dither": 0.0,
        "pad_to": 0,
    }


def _block(filters: int, kernel: int, repeat: int = 1) -> dict[str, object]:
    return {
        "filters": filters,
        "repeat": repeat,
        "kernel": [kernel],
        "stride": [1],
        "dilation": [1],
        "dropout": 0.0,
        "residual": repeat > 1,
        "separable": True,
        "se": True,
        "se_context_size": -1,
    }
