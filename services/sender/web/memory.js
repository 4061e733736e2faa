// What the viewer chose last, kept in the browser where it lets us.

const key = "dragoman.watch";

export function recall() {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? {};
  } catch {
    return {};
  }
}

export function remember(choice) {
  try {
    localStorage.setItem(key, JSON.stringify({ ...recall(), ...choice }));
  } catch {
    // A browser that keeps nothing plays all the same.
  }
}
