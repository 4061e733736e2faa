// How a caption looks at one moment of the media clock. Pure: the same moment always looks the same, so seeking just works.

const turning = 1.2;

/**
 * The original is typed while it is spoken; then the translation overwrites it from the left.
 * `sentence`: {start, end, text, translation or undefined}; `now`: seconds on the media clock, null where it is unknown.
 * Returns {translation, original}: what stands to the left and what still stands to its right, or null before the start.
 */
export function typed(sentence, now) {
  const { start, end, text, translation } = sentence;
  if (now === null) return translation === undefined ? { translation: "", original: text } : { translation, original: "" };
  if (now < start) return null;
  const spoken = end > start ? Math.min(1, (now - start) / (end - start)) : 1;
  if (spoken < 1 || translation === undefined) return { translation: "", original: upTo(text, spoken) };
  const turned = Math.min(1, (now - end) / turning);
  return { translation: upTo(translation, turned), original: turned === 1 ? "" : from(text, turned) };
}

function upTo(text, share) {
  return share === 1 ? text : text.slice(0, boundary(text, share));
}

function from(text, share) {
  return text.slice(boundary(text, share));
}

function boundary(text, share) {
  const place = Math.round(text.length * share);
  const code = text.charCodeAt(place);
  return code >= 0xdc00 && code <= 0xdfff ? place + 1 : place;
}
