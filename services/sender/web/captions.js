// The captions beside the picture: sentences from the event stream, shown when the viewer hears them.

import { typed } from "./typewriter.js";

const remembered = 400;
const shown = 40;
const colours = 8;

export class Captions {
  /** `list` is the element that holds them, `silence` stands in while there are none. */
  constructor(list, silence) {
    this.list = list;
    this.silence = silence;
    this.sentences = new Map();
    this.items = new Map();
    this.names = {};
    this.language = "";
  }

  /** Follows the events of a stream; the browser reconnects by itself. */
  follow(url) {
    const events = new EventSource(url);
    const on = (kind, take) => events.addEventListener(kind, event => take(JSON.parse(event.data).message));
    on("utterance", utterance => this.hear(utterance));
    on("translation", translation => this.read(translation));
    return events;
  }

  hear({ utterance, start, end, text, spoken, speaker }) {
    // The speaker stage cuts "7" into "7.1" and "7.2" where somebody else takes over.
    if (utterance.includes(".")) this.forget(utterance.split(".")[0]);
    const known = this.sentences.get(utterance);
    this.sentences.set(utterance, { translations: {}, ...known, utterance, start, end, text, spoken, speaker });
    while (this.sentences.size > remembered) this.forget(this.sentences.keys().next().value);
  }

  read({ utterance, language, wordings }) {
    const sentence = this.sentences.get(utterance);
    if (sentence && wordings.length) sentence.translations[language] = wordings[0].text;
  }

  /** Takes an utterance as it stands beside the segments, where no event tells it any more. */
  recall({ translations, name, ...heard }) {
    this.hear(heard);
    for (const [language, wording] of Object.entries(translations)) this.read({ ...heard, language, wordings: [wording] });
    if (name) this.names[heard.speaker] ??= name;
  }

  forget(utterance) {
    this.sentences.delete(utterance);
    this.items.get(utterance)?.remove();
    this.items.delete(utterance);
  }

  /** Draws what a viewer at media time `now` (seconds; null: unknown) has heard. */
  draw(now) {
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 80;
    const heard = [...this.sentences.values()].filter(sentence => now === null || sentence.start <= now)
      .sort((one, other) => one.start - other.start).slice(-shown);
    const kept = new Set(heard.map(sentence => sentence.utterance));
    for (const [utterance, item] of this.items) {
      if (kept.has(utterance)) continue;
      item.remove();
      this.items.delete(utterance);
    }
    heard.forEach((sentence, place) => {
      const item = this.items.get(sentence.utterance) ?? this.add(sentence);
      if (this.list.children[place] !== item) this.list.insertBefore(item, this.list.children[place] ?? null);
      this.write(item, sentence, now);
    });
    this.silence.hidden = heard.length > 0;
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
  }

  add(sentence) {
    const item = document.createElement("li");
    for (const name of ["who", "translation", "original", "source"]) {
      const part = document.createElement("span");
      part.className = name;
      item.append(part);
    }
    this.items.set(sentence.utterance, item);
    return item;
  }

  write(item, sentence, now) {
    const { spoken, speaker, text } = sentence;
    const translation = this.language === spoken ? undefined : sentence.translations[this.language];
    const look = typed({ ...sentence, translation }, now) ?? { translation: "", original: "" };
    const [who, turned, original, source] = item.children;
    item.className = speaker === null || speaker === undefined ? "" : `s${speaker % colours}`;
    say(who, speaker === null || speaker === undefined ? "" : this.names[speaker] || `Speaker ${speaker + 1}`);
    say(turned, look.translation, this.language);
    say(original, look.original, spoken);
    say(source, translation !== undefined && look.original === "" ? text : "", spoken);
  }
}

function say(element, text, language = "") {
  if (element.textContent !== text) element.textContent = text;
  if (element.lang !== language) element.lang = language;
}
