// What stands beside the segments of a stream: the objects of a rendition that no player knows.

const kept = 120;
const most = 40;

/** Fetches the objects around the moment that is watched, each once. */
export class Objects {
  constructor(base, rendition) {
    this.base = base;
    this.rendition = rendition;
    this.told = new Map();
    this.names = [];
    this.whole = false;
  }

  /** The objects around media time `now` (seconds; null: the last ones) that were not fetched before. */
  async read(now) {
    // The list of a stream that is over never changes.
    if (!this.whole) await this.list();
    const near = this.names.filter(name => {
      const start = Number(/-(\d+)-/.exec(name)?.[1]) / 90000;
      return !this.told.has(name) && (now === null || (start > now - 15 && start < now + 45));
    });
    const found = await Promise.all(near.slice(-most).map(async name => {
      const answer = await fetch(`${this.base}/${name}`).catch(() => null);
      if (!answer?.ok) return null;
      const object = await answer.json();
      this.told.set(name, object);
      return object;
    }));
    while (this.told.size > kept) this.told.delete(this.told.keys().next().value);
    return found.filter(Boolean);
  }

  async list() {
    const answer = await fetch(`${this.base}/${this.rendition}.m3u8`, { cache: "no-store" }).catch(() => null);
    if (!answer?.ok) return;
    const lines = (await answer.text()).split("\n");
    this.names = lines.filter(line => line.endsWith(".json"));
    this.whole = lines.includes("#EXT-X-ENDLIST");
  }
}
