// Captions on the picture, beside the face that speaks: first the original, then it turns into the translation.

import { Objects } from "./objects.js";
import { place } from "./placement.js";
import { typed } from "./typewriter.js";

const linger = 3;
const most = 2;
const colours = 8;

/** Who is on the picture and who speaks, from the objects that stand beside the segments. */
export class Sights extends Objects {
  constructor(base) {
    super(base, "faces");
  }

  /** Faces on the picture at media time `now`. */
  faces(now) {
    let found = null;
    for (const { seen } of this.told.values()) {
      for (const shown of seen) if (shown.at <= now && (!found || shown.at > found.at)) found = shown;
    }
    return found?.faces ?? [];
  }

  /** The person who says an utterance; null: nobody on the picture, or not known. */
  speaker(utterance) {
    for (const { speaks } of this.told.values()) if (speaks[utterance]) return speaks[utterance];
    return null;
  }
}

/** Draws captions over `video` into `layer`. */
export class Beside {
  constructor(layer, video, sights) {
    this.layer = layer;
    this.video = video;
    this.sights = sights;
    this.bubbles = new Map();
    this.shown = true;
  }

  draw(now, captions) {
    const current = now === null || !this.shown ? [] : this.current(now, [...captions.sentences.values()]);
    const wanted = new Set(current.map(sentence => sentence.utterance));
    for (const [utterance, bubble] of this.bubbles) {
      if (wanted.has(utterance)) continue;
      bubble.remove();
      this.bubbles.delete(utterance);
    }
    const frame = this.picture(), faces = this.sights.faces(now ?? 0);
    const boxes = new Map(faces.map(face => [face.person, scaled(face, frame)]));
    const taken = [];
    for (const sentence of current) {
      const bubble = this.bubbles.get(sentence.utterance) ?? this.add(sentence.utterance);
      this.write(bubble, sentence, captions, now);
      const person = this.sights.speaker(sentence.utterance);
      const face = boxes.get(person) ?? null;
      const others = [...boxes].filter(([who]) => who !== person).map(([, box]) => box);
      // Laid out by its full text: a caption that is being typed must not wander.
      const size = { width: bubble.offsetWidth, height: bubble.offsetHeight };
      const spot = place(face, [...others, ...taken], size, frame);
      taken.push({ ...spot, ...size });
      bubble.dataset.person = person ?? "";
      bubble.style.left = `${frame.left + spot.left}px`;
      bubble.style.top = `${frame.top + spot.top}px`;
    }
  }

  /** What is being said, or was a moment ago, the newest first. */
  current(now, sentences) {
    return sentences.filter(({ start, end }) => start <= now && now < Math.max(end, start + 1) + linger)
      .sort((one, other) => other.start - one.start).slice(0, most);
  }

  /** The picture inside the video element, which may have bars beside it. */
  picture() {
    const { clientWidth, clientHeight, videoWidth, videoHeight } = this.video;
    const scale = videoWidth ? Math.min(clientWidth / videoWidth, clientHeight / videoHeight) : 0;
    const width = scale ? videoWidth * scale : clientWidth, height = scale ? videoHeight * scale : clientHeight;
    return { left: (clientWidth - width) / 2, top: (clientHeight - height) / 2, width, height };
  }

  add(utterance) {
    const bubble = document.createElement("p");
    for (const name of ["who", "room", "said"]) {
      const part = document.createElement("span");
      part.className = name;
      bubble.append(part);
    }
    bubble.lastElementChild.append(document.createElement("span"), document.createElement("span"));
    this.layer.append(bubble);
    this.bubbles.set(utterance, bubble);
    return bubble;
  }

  write(bubble, sentence, captions, now) {
    const { spoken, speaker, text } = sentence;
    const translation = captions.language === spoken ? undefined : sentence.translations[captions.language];
    const look = typed({ ...sentence, translation }, now) ?? { translation: "", original: "" };
    const [who, room, said] = bubble.children;
    const known = speaker !== null && speaker !== undefined;
    bubble.className = known ? `bubble s${speaker % colours}` : "bubble";
    say(who, known ? captions.names[speaker] || `Speaker ${speaker + 1}` : "");
    say(room, (translation ?? "").length > text.length ? translation : text);
    say(said.children[0], look.translation, captions.language);
    say(said.children[1], look.original, spoken);
  }
}

function scaled(face, frame) {
  return {
    left: face.left * frame.width, top: face.top * frame.height,
    width: face.width * frame.width, height: face.height * frame.height,
  };
}

function say(element, text, language = "") {
  if (element.textContent !== text) element.textContent = text;
  if (element.lang !== language) element.lang = language;
}
