// Findings can come in hundreds; a screen reader must be able to finish a sentence.

const QUIET_MS = 6_000;

/** Speaks at most once in {@link QUIET_MS}, with the number of findings since it last spoke. */
export class Announcer {
  #spoken = 0;
  #arrived = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly speak: (n: number) => void) {}

  /** `total` counts all findings that arrived on this stream. A smaller one is a new stream. */
  arrived(total: number) {
    if (total < this.#arrived) this.#spoken = 0;
    this.#arrived = total;
    if (this.#timer === undefined && total > this.#spoken) this.#say();
  }

  #say() {
    const n = this.#arrived - this.#spoken;
    this.#spoken = this.#arrived;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#arrived > this.#spoken) this.#say();
    }, QUIET_MS);
    this.speak(n);
  }
}
