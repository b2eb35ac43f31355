// Server-sent events with our own reconnect: EventSource gives up for good on an HTTP error, and a
// half-open connection looks alive, so silence counts as a loss too.

import { decode, type FeedEvent } from './feed.ts';

export type Liveness = 'connecting' | 'live' | 'reconnecting';

/** The server sends a summary each second: after this long without one the line is dead. */
export const SILENCE_MS = 8_000;
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 20_000;

/** 1 s, 2 s, 4 s … 20 s, each shortened by up to a half so that many consoles do not return at once. */
export function retryDelay(attempt: number, random: number): number {
  const full = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(attempt, 10));
  return full * (1 - random / 2);
}

export interface StreamHandlers {
  event(event: FeedEvent): void;
  state(state: Liveness): void;
  /** The line is back after a loss: what happened meanwhile must be fetched. */
  restored(): void;
}

export class Stream {
  #source: EventSource | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  #everLive = false;
  #live = false;

  constructor(
    private readonly url: string,
    private readonly handlers: StreamHandlers,
  ) {
    this.#open();
  }

  close() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
  }

  /** Try again now instead of at the end of the wait (the browser came back online). */
  hurry() {
    if (this.#live) return;
    clearTimeout(this.#retry);
    this.#open();
  }

  #open() {
    this.#source?.close();
    const source = new EventSource(this.url);
    this.#source = source;
    source.onerror = () => this.#lost();
    source.onopen = () => this.#heard();
    for (const type of ['summary', 'finding', 'device', 'command']) {
      source.addEventListener(type, (message) => {
        this.#heard();
        const event = decode(type, (message as MessageEvent<string>).data);
        if (event) this.handlers.event(event);
      });
    }
    this.#watch();
  }

  #heard() {
    this.#watch();
    if (this.#live) return;
    this.#live = true;
    this.#attempt = 0;
    this.handlers.state('live');
    if (this.#everLive) this.handlers.restored();
    this.#everLive = true;
  }

  #watch() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#lost(), SILENCE_MS);
  }

  #lost() {
    this.#live = false;
    this.#source?.close();
    clearTimeout(this.#silence);
    clearTimeout(this.#retry);
    this.handlers.state(this.#everLive ? 'reconnecting' : 'connecting');
    this.#retry = setTimeout(() => this.#open(), retryDelay(this.#attempt, Math.random()));
    this.#attempt += 1;
  }
}
