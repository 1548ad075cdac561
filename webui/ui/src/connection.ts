/** The page's one connection: finds the server again by itself and resumes every subscription. */

import {
  parseFrame,
  reconnectWaitMs,
  Subscription,
  type SubscriptionListener,
  type SubscriptionOptions,
} from './protocol';
import type { Socket } from './socket';

const PING_EVERY_MS = 10_000;
/** A server that says nothing at all for this long after a ping is dead. */
const ANSWER_WITHIN_MS = 5_000;

/** Close codes from the one to the other say: don't come back by yourself. */
const STAY_AWAY = 4500;
const STAY_AWAY_UNTIL = 4999;

export interface ConnectionState {
  readonly kind: 'connecting' | 'open' | 'lost';
  /** When this state began, in this browser's time. */
  readonly since: number;
  /** Whether there was a connection at all since the page was opened. */
  readonly everOpen: boolean;
}

export class Connection {
  #socket: Socket | null = null;
  #state: ConnectionState = { kind: 'connecting', since: Date.now(), everOpen: false };
  #attempt = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #pingDue: ReturnType<typeof setTimeout> | undefined;
  #answerDue: ReturnType<typeof setTimeout> | undefined;
  #pings = 0;
  readonly #subscriptions = new Map<number, Subscription>();
  readonly #listeners = new Set<(state: ConnectionState) => void>();

  constructor(private readonly dial: () => Socket) {}

  get state(): ConnectionState {
    return this.#state;
  }

  /** Connect, and stay connected. */
  start(): void {
    if (this.#socket !== null || this.#retry !== undefined) return;
    window.addEventListener('online', this.retryNow);
    document.addEventListener('visibilitychange', this.#seen);
    if (!this.#state.everOpen) this.#state = { ...this.#state, since: Date.now() };
    this.#open();
  }

  /** Let go, until the next start. */
  stop(): void {
    window.removeEventListener('online', this.retryNow);
    document.removeEventListener('visibilitychange', this.#seen);
    if (this.#socket !== null) this.#lose(this.#socket, false);
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }

  onState(listener: (state: ConnectionState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Start a subscription; the same id replaces the one before. */
  subscribe(id: number, options: SubscriptionOptions, listener: SubscriptionListener): Subscription {
    const subscription = new Subscription(id, options, listener);
    this.#subscriptions.set(id, subscription);
    this.#send(subscription.request());
    return subscription;
  }

  unsubscribe(id: number): void {
    if (this.#subscriptions.delete(id)) this.#send(JSON.stringify({ op: 'unsubscribe', id }));
  }

  /** Try at once: the network is back, the laptop woke up, or somebody asks for it. */
  readonly retryNow = (): void => {
    if (this.#state.kind === 'open') {
      this.#ping();
    } else if (this.#retry !== undefined) {
      this.#attempt = 0;
      this.#open();
    }
  };

  readonly #seen = (): void => {
    if (document.visibilityState === 'visible') this.retryNow();
  };

  #open(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    const socket = this.dial();
    this.#socket = socket;
    // A handshake that nobody answers would otherwise wait for the system's own minutes.
    this.#answerDue = setTimeout(() => {
      socket.abandon();
      this.#lose(socket);
    }, ANSWER_WITHIN_MS);
    socket.onopen = () => {
      this.#attempt = 0;
      this.#enter('open');
      for (const subscription of this.#subscriptions.values()) this.#send(subscription.request());
      this.#heard();
    };
    socket.onmessage = (text) => {
      this.#heard();
      this.#receive(text);
    };
    socket.onclose = (code) => {
      this.#lose(socket, code < STAY_AWAY || code > STAY_AWAY_UNTIL);
    };
  }

  #receive(text: string): void {
    const frame = parseFrame(text);
    if (frame !== null && frame.op !== 'pong') this.#subscriptions.get(frame.id)?.receive(frame);
  }

  /** Anything from the server proves that it lives, and puts the next ping off. */
  #heard(): void {
    clearTimeout(this.#answerDue);
    clearTimeout(this.#pingDue);
    this.#pingDue = setTimeout(() => {
      this.#ping();
    }, PING_EVERY_MS);
  }

  #ping(): void {
    const socket = this.#socket;
    if (socket === null) return;
    clearTimeout(this.#answerDue);
    this.#answerDue = setTimeout(() => {
      socket.abandon();
      this.#lose(socket);
    }, ANSWER_WITHIN_MS);
    this.#pings += 1;
    this.#send(JSON.stringify({ op: 'ping', id: this.#pings }));
  }

  #send(text: string): void {
    if (this.#state.kind === 'open') this.#socket?.send(text);
  }

  /** Give this socket up for good: `close` on a dead one may take minutes to say so. */
  #lose(socket: Socket, comesBack = true): void {
    if (this.#socket !== socket) return;
    clearTimeout(this.#pingDue);
    clearTimeout(this.#answerDue);
    socket.close();
    this.#socket = null;
    this.#enter('lost');
    if (!comesBack) return;
    this.#retry = setTimeout(
      () => {
        this.#open();
      },
      reconnectWaitMs(this.#attempt, Math.random()),
    );
    this.#attempt += 1;
  }

  #enter(kind: ConnectionState['kind']): void {
    if (kind === this.#state.kind) return;
    this.#state = {
      kind,
      since: Date.now(),
      everOpen: this.#state.everOpen || kind === 'open',
    };
    for (const listener of this.#listeners) listener(this.#state);
  }
}
