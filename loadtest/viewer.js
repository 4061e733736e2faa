// Runs before a page's own scripts: remembers every hls.js player that the page makes, and takes notes of what is seen.
(() => {
  const blocks = 24;
  const notes = { samples: [], errors: [], sounds: [], cues: {} };
  const players = [];
  const sources = [];
  const canvas = document.createElement("canvas");
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  let real;

  Object.defineProperty(window, "Hls", {
    configurable: true,
    get: () => real,
    set: library => {
      real = class extends library {
        constructor(...options) {
          super(...options);
          const place = players.push(this) - 1;
          this.on("hlsError", (_, error) => {
            notes.errors.push({ player: place, fatal: error.fatal, details: error.details, text: String(error.error ?? error.reason ?? "") });
          });
          if (place === 0) this.on("hlsFragBuffered", (_, { frag }) => frag.type === "audio" && notes.sounds.push(frag));
        }
      };
    },
  });

  const add = MediaSource.prototype.addSourceBuffer;
  MediaSource.prototype.addSourceBuffer = function (type) {
    const source = add.call(this, type);
    sources.push([type.split("/")[0], source]);
    return source;
  };

  const pairs = buffered => Array.from(buffered, (_, range) => [buffered.start(range), buffered.end(range)]);

  /** What is there of picture and sound, each by itself, while the two together have a hole; else nothing. */
  function torn(video) {
    if (video.buffered.length < 2) return null;
    const open = sources.flatMap(([kind, source]) => {
      try {
        return [[kind, pairs(source.buffered)]];
      } catch {
        return []; // removed from its media source
      }
    });
    return { both: pairs(video.buffered), ...Object.fromEntries(open) };
  }

  /** The number burnt into the top of the picture; null where there is none to read. */
  function picture(video) {
    const { videoWidth: width, videoHeight: height } = video;
    if (!width) return null;
    canvas.width = width;
    canvas.height = 1;
    brush.drawImage(video, 0, Math.floor(height / 24), width, 1, 0, 0, width, 1);
    const { data } = brush.getImageData(0, 0, width, 1);
    const block = Math.floor(width / blocks);
    let number = 0;
    for (let bit = 0; bit < blocks; bit += 1) {
      const level = data[4 * (bit * block + (block >> 1))];
      if (level > 60 && level < 195) return null;
      number = 2 * number + (level > 127 ? 1 : 0);
    }
    return number;
  }

  /** Which sound is in the buffer where the viewer is: what was put there last. */
  function heard(time) {
    return notes.sounds.findLast(frag => frag.start <= time && time < frag.end)?.level ?? null;
  }

  /** Seconds that are there from `time` on. */
  function cushion(buffered, time) {
    for (let range = 0; range < buffered.length; range += 1) {
      if (buffered.start(range) <= time && time < buffered.end(range)) return buffered.end(range) - time;
    }
    return 0;
  }

  function look() {
    const video = document.querySelector("video"), hls = players[0];
    if (!video || !hls) return;
    for (const track of video.textTracks) {
      for (const cue of track.cues ?? []) notes.cues[`${track.language} ${cue.startTime} ${cue.text}`] = [track.language, cue.startTime, cue.endTime, cue.text];
    }
    const quality = video.getVideoPlaybackQuality(), time = video.currentTime;
    notes.samples.push({
      clock: performance.now() / 1000,
      now: Date.now() / 1000,
      time,
      ready: video.readyState,
      moving: !video.paused && !video.ended,
      date: hls.playingDate ? hls.playingDate / 1000 : null,
      frame: picture(video),
      width: video.videoWidth,
      sound: heard(time),
      chosen: hls.audioTrack,
      ranges: video.buffered.length,
      torn: torn(video),
      cushion: cushion(video.buffered, time),
      dropped: quality.droppedVideoFrames,
      frames: quality.totalVideoFrames,
      shown: [...video.textTracks].filter(track => track.mode === "showing").flatMap(track => [...track.activeCues ?? []]).map(cue => cue.text),
    });
  }

  window.viewer = {
    players,
    take() {
      const taken = { samples: notes.samples, errors: notes.errors, cues: Object.values(notes.cues) };
      notes.samples = [];
      notes.errors = [];
      return taken;
    },
  };
  setInterval(look, 100);
})();
