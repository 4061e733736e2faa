// The original as a bed under the clean dub: a second, hidden player that keeps to the clock of the first.

const apart = 0.75;
const close = 0.04;

export class Bed {
  /** `video` plays the picture and the voices, `player` is its hls.js; `url` is the original's media playlist. */
  constructor(video, player, url) {
    this.video = video;
    this.player = player;
    this.url = url;
    this.level = 0;
    this.audio = new Audio();
    this.hls = null;
    this.timer = 0;
  }

  start() {
    if (this.hls) return;
    this.hls = new Hls({ backBufferLength: 30 });
    this.hls.loadSource(this.url);
    this.hls.attachMedia(this.audio);
    this.timer = setInterval(() => this.follow(), 250);
  }

  stop() {
    clearInterval(this.timer);
    this.hls?.destroy();
    this.hls = null;
    this.audio.pause();
  }

  /** Brings the bed to the picture: a jump where they are far apart, otherwise a rate that nobody hears. */
  follow() {
    const { audio, video } = this;
    audio.volume = video.muted ? 0 : video.volume * this.level;
    if (video.paused || video.readyState < 3) {
      audio.pause();
      return;
    }
    const leads = this.player.playingDate, follows = this.hls.playingDate;
    if (leads && follows) {
      const behind = (leads - follows) / 1000;
      if (Math.abs(behind) > apart) audio.currentTime += behind;
      const nudge = Math.abs(behind) > close ? Math.max(-0.05, Math.min(0.05, behind / 4)) : 0;
      audio.playbackRate = video.playbackRate * (1 + nudge);
    }
    if (audio.paused) audio.play().catch(() => {});
  }
}
