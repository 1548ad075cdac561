/** Who looks at this page and what they may do: `/api/me`, logging in and out. */

import { isObject, parseObject } from './protocol';
import { text } from './strings';
import { matchesFilter } from './topic';

/** What `/api/me` says. `user` is null for somebody who hasn't logged in, and may not have to. */
export interface Me {
  readonly user: string | null;
  readonly groups: readonly string[];
  readonly subscribe: readonly string[];
  readonly publish: readonly string[];
}

/** The server's bound: filters in one subscription. */
export const MAX_FILTERS = 32;

const ANSWER_WITHIN_MS = 5_000;
/** How soon to ask again while something is wrong. */
const ASK_AGAIN_MS = 5_000;
/** Asking keeps a page that stays open logged in: the server renews its cookie once a day. */
const RENEW_MS = 6 * 3_600_000;

export function parseMe(answer: string): Me | null {
  const { user, groups, subscribe, publish } = parseObject(answer) ?? {};
  if ((typeof user !== 'string' && user !== null) || !isTexts(groups) || !isTexts(subscribe) || !isTexts(publish)) {
    return null;
  }
  return { user, groups, subscribe, publish };
}

/** What this page subscribes to: all that is allowed but the broker's own `$…`, as far as fits. */
export function watched(me: Me): readonly string[] {
  return me.subscribe.filter((filter) => !filter.startsWith('$')).slice(0, MAX_FILTERS);
}

/** Whether there is any use in logging in: nobody need where everything is allowed. */
export function canLogIn(me: Me): boolean {
  return me.user === null && !me.groups.includes('admin');
}

/** Whether a control that publishes to this topic is worth showing. */
export function mayPublish(me: Me, topic: string): boolean {
  return me.publish.some((filter) => matchesFilter(filter, topic));
}

export class Account {
  /** Null until the server has said who we are, and while it wants a login first. */
  me: Me | null = null;
  /** Whether the server wants a login. */
  isOut = false;
  #next: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly root: URL,
    private readonly isCalm: () => boolean,
    private readonly told: () => void,
  ) {}

  /** Ask who we are: now, and again by itself. */
  readonly check = (): void => {
    clearTimeout(this.#next);
    this.#next = setTimeout(this.check, 2 * ANSWER_WITHIN_MS);
    void this.#ask().finally(() => {
      clearTimeout(this.#next);
      this.#next = setTimeout(this.check, this.isCalm() ? RENEW_MS : ASK_AGAIN_MS);
    });
  };

  /** Returns why not; an empty text means that it is done. */
  async logIn(user: string, password: string): Promise<string> {
    let said: string;
    try {
      const answer = await this.#post('api/login', { user, password });
      said = await answer.text();
      const me = answer.ok ? parseMe(said) : null;
      if (me !== null) {
        this.#enter(me);
        return '';
      }
    } catch {
      return text.login.noAnswer;
    }
    const error = parseObject(said)?.['error'];
    return isObject(error) && typeof error['message'] === 'string' ? error['message'] : text.login.noAnswer;
  }

  /** Whether it is done; the cookie is out of our reach, so the server must have done it. */
  async logOut(): Promise<boolean> {
    try {
      const { ok, status } = await this.#post('api/logout', {});
      return ok || status === 401;
    } catch {
      return false;
    }
  }

  async #ask(): Promise<void> {
    try {
      const answer = await fetch(new URL('api/me', this.root), {
        cache: 'no-store',
        signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
      });
      if (answer.status === 401) this.#enter(null);
      else if (answer.ok) {
        const me = parseMe(await answer.text());
        if (me !== null) this.#enter(me);
      }
    } catch {
      // The server is away: what we know of ourselves stays as it is.
    }
  }

  #enter(me: Me | null): void {
    this.me = me;
    this.isOut = me === null;
    this.told();
  }

  #post(path: string, body: object): Promise<Response> {
    return fetch(new URL(path, this.root), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
  }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}
