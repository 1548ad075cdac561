/** What is wrong, if anything: the connection and the broker behind it, in one status. */

import type { ConnectionState } from './connection';
import { parseObject } from './protocol';

const POLL_MS = 10_000;

export interface Health {
  readonly ready: boolean;
  readonly reason: string;
  /** When this began, in this browser's time. */
  readonly since: number;
}

export interface Status {
  readonly kind: 'connecting' | 'unreachable' | 'live' | 'lost' | 'offline' | 'broker_away' | 'refused';
  readonly since: number;
  readonly reason: string;
}

/** How long the first connection may take before the page says that nobody answers. */
const PATIENCE_MS = 4_000;

export function judge(
  connection: ConnectionState,
  health: Health | null,
  refusal: string,
  online: boolean,
  now: number,
): Status {
  const { kind, since, everOpen } = connection;
  if (kind !== 'open') {
    if (!online) return { kind: 'offline', since, reason: '' };
    if (everOpen) return { kind: 'lost', since, reason: '' };
    const patient = kind === 'connecting' && now - since < PATIENCE_MS;
    return { kind: patient ? 'connecting' : 'unreachable', since, reason: '' };
  }
  if (refusal !== '') return { kind: 'refused', since, reason: refusal };
  if (health?.ready === false) return { kind: 'broker_away', since: health.since, reason: health.reason };
  return { kind: 'live', since, reason: '' };
}

/** Asks `health/ready` again and again, and at once when something changed. */
export class HealthWatch {
  #health: Health | null = null;
  #next: ReturnType<typeof setTimeout> | undefined;
  #asking = false;

  constructor(
    private readonly url: URL,
    private readonly changed: () => void,
  ) {}

  get health(): Health | null {
    return this.#health;
  }

  readonly check = (): void => {
    clearTimeout(this.#next);
    this.#next = setTimeout(this.check, POLL_MS);
    if (this.#asking || document.visibilityState !== 'visible') return;
    this.#asking = true;
    void this.#ask().finally(() => {
      this.#asking = false;
    });
  };

  async #ask(): Promise<void> {
    let answer: Response;
    let reason: string;
    try {
      answer = await fetch(this.url, { cache: 'no-store', signal: AbortSignal.timeout(5_000) });
      const said = parseObject(await answer.text())?.['reason'];
      reason = typeof said === 'string' ? said : '';
    } catch {
      // Nobody there at all: that is the connection's news, not the broker's.
      return;
    }
    const ready = answer.ok;
    if (this.#health?.ready === ready && this.#health.reason === reason) return;
    const since = this.#health?.ready === ready ? this.#health.since : Date.now();
    this.#health = { ready, reason, since };
    this.changed();
  }
}
