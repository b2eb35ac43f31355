// The console's own state: who is signed in, which tenant and page are shown, and the live feed.

import * as api from '../api/client.ts';
import { asProblem, type Problem } from '../api/problem.ts';
import type { Tenant } from '../api/types.ts';
import { emptyFeed, reduce, type Feed, type FeedEvent } from './feed.ts';
import { type Section, link, parse, tokenIn, type Route } from './route.ts';
import { Stream, type Liveness } from './stream.ts';

const SETTLE_MS = 100;

export type SessionState = 'unknown' | 'signed-out' | 'signed-in';

class App {
  session = $state<SessionState>('unknown');
  operator = $state('');
  /** Why the last sign-in or start failed. */
  problem = $state<Problem | null>(null);
  route = $state<Route>(parse(''));
  tenants = $state<Tenant[] | null>(null);
  feed = $state.raw<Feed>(emptyFeed());
  liveness = $state<Liveness>('connecting');
  /** Counts how often the line came back: pages reload what they show. */
  restored = $state(0);
  /** Show severe findings only. */
  severeOnly = $state(false);
  /** Says out loud what just happened, for those who do not see it. */
  announcement = $state('');

  #stream: Stream | null = null;
  #streamed: string | null = null;
  #told: FeedEvent[] = [];
  #settling: ReturnType<typeof setTimeout> | undefined;

  get tenant(): string | null {
    return this.route.tenant ?? this.tenants?.[0]?.name ?? null;
  }

  async start() {
    api.whenSignedOut(() => this.#dropped());
    window.addEventListener('hashchange', () => this.#follow());
    window.addEventListener('online', () => this.#stream?.hurry());
    const token = tokenIn(location.hash);
    if (token) {
      // The token must not stay in the address bar or the history.
      history.replaceState(null, '', location.pathname + location.search);
      await this.signIn(token);
      return;
    }
    this.route = parse(location.hash);
    await this.#resume();
  }

  async signIn(token: string) {
    this.problem = null;
    try {
      await api.signIn(token.trim());
      await this.#enter();
    } catch (error) {
      this.problem = asProblem(error);
      this.session = 'signed-out';
    }
  }

  async signOut() {
    await api.signOut().catch(() => {});
    this.#dropped();
    this.problem = null;
  }

  /** Goes to an address of the console, with its own entry in the browser's history. */
  go(to: string) {
    location.hash = to;
  }

  /** Changes the address in place: filters do not fill the history. */
  replace(to: string) {
    history.replaceState(null, '', to);
    this.#follow();
  }

  async #resume() {
    try {
      await this.#enter();
    } catch (error) {
      const problem = asProblem(error);
      this.problem = problem.status === 401 ? null : problem;
      this.session = 'signed-out';
    }
  }

  async #enter() {
    this.operator = (await api.currentSession()).operator;
    this.tenants = await api.tenants();
    this.session = 'signed-in';
    this.#follow();
  }

  #follow() {
    if (tokenIn(location.hash)) {
      void this.start();
      return;
    }
    this.route = parse(location.hash);
    if (this.session === 'signed-in') this.#listen(this.tenant);
  }

  #listen(tenant: string | null) {
    if (tenant === this.#streamed) return;
    this.#stream?.close();
    this.#stream = null;
    this.#streamed = tenant;
    this.#forget();
    this.liveness = 'connecting';
    if (tenant === null) return;
    this.#stream = new Stream(api.eventsAddress(tenant), {
      event: (event) => this.apply(event),
      state: (state) => { this.liveness = state; if (state === 'reconnecting') void this.#probe(); },
      restored: () => { this.restored += 1; void this.#catchUp(tenant); },
    });
    void this.#catchUp(tenant);
  }

  /** An EventSource does not tell why it ended: ask, so that an ended session leads to the sign-in page. */
  async #probe() {
    await api.currentSession().catch(() => {});
  }

  async #catchUp(tenant: string) {
    try {
      const [summary, findings] = await Promise.all([api.summary(tenant), api.findings(tenant, { limit: 200 })]);
      if (tenant !== this.#streamed) return;
      this.apply({ type: 'summary', data: summary });
      this.apply({ type: 'findings', data: findings.items });
    } catch (error) {
      this.problem = asProblem(error);
    }
  }

  /** A fleet under attack tells of hundreds of changes a second: the pages follow ten times a second. */
  apply(event: FeedEvent) {
    this.#told.push(event);
    this.#settling ??= setTimeout(() => this.#settle(), SETTLE_MS);
  }

  #settle() {
    this.#settling = undefined;
    this.feed = this.#told.splice(0).reduce(reduce, this.feed);
  }

  #forget() {
    clearTimeout(this.#settling);
    this.#settling = undefined;
    this.#told = [];
    this.feed = emptyFeed();
  }

  #dropped() {
    this.#stream?.close();
    this.#stream = null;
    this.#streamed = null;
    this.session = 'signed-out';
    this.#forget();
    this.tenants = null;
  }
}

export const app = new App();
export const here = (section?: Section, device?: string | null, query?: Record<string, string>) =>
  link(app.tenant ?? '', section, device, query);
