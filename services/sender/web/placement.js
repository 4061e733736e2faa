// Where a caption goes on the picture. Pure: boxes in, a place out, all in the same unit.

const gap = 0.02;
const edge = 0.02;
const floor = 0.1;

/**
 * `face`: {left, top, width, height} of who speaks, null when nobody is seen; `others`: boxes that should stay free;
 * `size`: {width, height} of the caption; `frame`: {width, height} of the picture. Returns {left, top} inside the picture:
 * beside the face, or under or above it, whatever hides least; at the bottom without a face.
 */
export function place(face, others, size, frame) {
  const margin = edge * frame.width, space = gap * frame.width;
  const inside = ({ left, top }) => ({
    left: Math.max(margin, Math.min(left, frame.width - size.width - margin)),
    top: Math.max(margin, Math.min(top, frame.height - size.height - margin)),
  });
  if (!face) {
    const bottom = inside({ left: (frame.width - size.width) / 2, top: frame.height * (1 - floor) - size.height });
    return lift(bottom, others, size, margin);
  }
  const middle = face.left + face.width / 2 - size.width / 2, mouth = face.top + face.height * 0.75 - size.height / 2;
  const places = [
    { left: face.left + face.width + space, top: mouth },
    { left: face.left - size.width - space, top: mouth },
    { left: middle, top: face.top + face.height * 1.25 },
    { left: middle, top: face.top - face.height * 0.35 - size.height },
    { left: middle, top: frame.height - size.height - margin },
  ].map(inside);
  const hides = spot => [face, face, ...others].reduce((sum, box) => sum + common({ ...spot, ...size }, box), 0);
  return places.reduce((best, spot) => (hides(spot) < hides(best) - 1e-9 ? spot : best));
}

/** Moves a caption up until it is clear of the boxes below it, as far as there is room. */
function lift(spot, boxes, size, margin) {
  const hit = boxes.filter(box => common({ ...spot, ...size }, box) > 0);
  if (!hit.length) return spot;
  const top = Math.min(...hit.map(box => box.top)) - size.height - margin;
  return top < margin ? spot : lift({ ...spot, top }, boxes, size, margin);
}

function common(one, other) {
  const width = Math.min(one.left + one.width, other.left + other.width) - Math.max(one.left, other.left);
  const height = Math.min(one.top + one.height, other.top + other.height) - Math.max(one.top, other.top);
  return width > 0 && height > 0 ? width * height : 0;
}
