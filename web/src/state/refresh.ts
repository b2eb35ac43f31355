// Reloads what a page shows: every so often while it is looked at, and soon after it was asked to.

const SOON_MS = 1_200;

export class Refresher {
  #soon: ReturnType<typeof setTimeout> | undefined;
  readonly #every: ReturnType<typeof setInterval>;

  constructor(private readonly load: () => void, everyMs: number) {
    this.#every = setInterval(() => { if (!document.hidden) this.load(); }, everyMs);
  }

  /** Many calls within {@link SOON_MS} make one load. */
  soon() {
    this.#soon ??= setTimeout(() => { this.#soon = undefined; this.load(); }, SOON_MS);
  }

  stop() {
    clearInterval(this.#every);
    clearTimeout(this.#soon);
  }
}
