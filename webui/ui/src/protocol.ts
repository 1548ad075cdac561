/**
 * The frames of `/api/ws` and the rules of resuming: no socket, no clock, no timer.
 *
 * A subscription's cursor is the epoch and seq of the last message it handed on. It moves with
 * messages only, never with `subscribed`: a cut between the two then resumes from what was
 * really seen, and a server of another epoch says `gap` with `reset` again.
 */

export interface Message {
  readonly topic: string;
  readonly payload: string;
  /** Milliseconds since 1970, UTC, by the server's clock. */
  readonly time: number;
  readonly seq: number;
  readonly last?: true;
  readonly retain?: true;
  readonly base64?: true;
  readonly gone?: true;
}

export type GapReason = 'slow' | 'resume' | 'restart' | 'link';

export interface Gap {
  /** How many messages were missed; null where nobody knows. */
  readonly missed: number | null;
  readonly topics: readonly string[];
  readonly reset: boolean;
  readonly reason: GapReason;
}

export interface Subscribed {
  readonly epoch: string;
  readonly seq: number;
  readonly recovered?: boolean;
  readonly truncated?: boolean;
}

export type ServerFrame =
  | ({ readonly op: 'subscribed'; readonly id: number } & Subscribed)
  | { readonly op: 'messages'; readonly id: number; readonly messages: readonly Message[] }
  | ({ readonly op: 'gap'; readonly id: number } & Gap)
  | { readonly op: 'unsubscribed' | 'published' | 'pong'; readonly id: number }
  | { readonly op: 'error'; readonly id: number; readonly code: string; readonly message: string };

export interface Cursor {
  readonly epoch: string;
  readonly seq: number;
}

export interface SubscriptionOptions {
  readonly filters: readonly string[];
  readonly mode?: 'all' | 'latest';
  readonly maxRateHz?: number;
  readonly since?: Cursor;
}

/** What a subscription tells its owner. A gap with `reset` means: forget all, a snapshot follows. */
export interface SubscriptionListener {
  messages(messages: readonly Message[]): void;
  gap(gap: Gap): void;
  subscribed?(subscribed: Subscribed): void;
  refused?(code: string, message: string): void;
}

/** One cursor on the server's log, kept over as many connections as it takes. */
export class Subscription {
  #epoch = '';
  #cursor: Cursor | null;
  /** Until its request is answered, frames with its id are of a subscription that it replaced. */
  #isAnswered = false;

  constructor(
    readonly id: number,
    readonly options: SubscriptionOptions,
    private readonly listener: SubscriptionListener,
  ) {
    this.#cursor = options.since ?? null;
  }

  get cursor(): Cursor | null {
    return this.#cursor;
  }

  /** The frame that starts this subscription, or goes on with it where it was cut. */
  request(): string {
    this.#isAnswered = false;
    const { filters, mode, maxRateHz } = this.options;
    return JSON.stringify({
      op: 'subscribe',
      id: this.id,
      filters,
      mode,
      max_rate_hz: maxRateHz,
      since: this.#cursor === null ? undefined : `${this.#cursor.epoch}-${this.#cursor.seq}`,
    });
  }

  receive(frame: ServerFrame): void {
    if (!this.#isAnswered && (frame.op === 'messages' || frame.op === 'gap')) return;
    switch (frame.op) {
      case 'subscribed':
        this.#isAnswered = true;
        this.#epoch = frame.epoch;
        this.listener.subscribed?.(frame);
        break;
      case 'gap':
        if (frame.reset) this.#cursor = null;
        this.listener.gap(frame);
        break;
      case 'messages': {
        const newest = frame.messages.at(-1);
        if (newest === undefined) break;
        this.#cursor = { epoch: this.#epoch, seq: newest.seq };
        this.listener.messages(frame.messages);
        break;
      }
      case 'error':
        this.listener.refused?.(frame.code, frame.message);
        break;
      default:
        break;
    }
  }
}

/** One frame of the server's; null for what this page doesn't know, which is no error. */
export function parseFrame(text: string): ServerFrame | null {
  const frame = parseObject(text);
  if (frame === null) return null;
  const id = typeof frame['id'] === 'number' ? frame['id'] : 0;
  switch (frame['op']) {
    case 'subscribed': {
      const { epoch, seq, recovered, truncated } = frame;
      if (typeof epoch !== 'string' || typeof seq !== 'number') return null;
      return {
        op: 'subscribed',
        id,
        epoch,
        seq,
        ...(typeof recovered === 'boolean' && { recovered }),
        ...(typeof truncated === 'boolean' && { truncated }),
      };
    }
    case 'messages':
      if (!Array.isArray(frame['messages'])) return null;
      return { op: 'messages', id, messages: frame['messages'].filter(isMessage) };
    case 'gap':
      return {
        op: 'gap',
        id,
        missed: typeof frame['missed'] === 'number' ? frame['missed'] : null,
        topics: Array.isArray(frame['topics']) ? frame['topics'].filter(isString) : [],
        reset: frame['reset'] === true,
        reason: isGapReason(frame['reason']) ? frame['reason'] : 'resume',
      };
    case 'unsubscribed':
    case 'published':
    case 'pong':
      return { op: frame['op'], id };
    case 'error':
      return {
        op: 'error',
        id,
        code: isString(frame['code']) ? frame['code'] : 'unknown',
        message: isString(frame['message']) ? frame['message'] : '',
      };
    default:
      return null;
  }
}

const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 5_000;

/**
 * How long to wait before attempt number `attempt` (from 0); `random` is in [0, 1).
 *
 * Half is fixed and half is random: many pages that lost one server don't come back at once.
 */
export function reconnectWaitMs(attempt: number, random: number): number {
  const whole = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempt, 16));
  return Math.round(whole / 2 + (whole / 2) * random);
}

export function parseObject(text: string): Record<string, unknown> | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  return isObject(value) ? value : null;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isGapReason(value: unknown): value is GapReason {
  return value === 'slow' || value === 'resume' || value === 'restart' || value === 'link';
}

function isMessage(value: unknown): value is Message {
  return (
    isObject(value) &&
    isString(value['topic']) &&
    isString(value['payload']) &&
    typeof value['time'] === 'number' &&
    typeof value['seq'] === 'number'
  );
}
