/** What the page knows, put together once: the connection feeds one store, elements look at it. */

import { Account, mayPublish, watched } from './account';
import { type Command, Commander } from './command';
import { Connection } from './connection';
import { Store } from './store';
import { DeviceBoard, parseDeviceList } from './devices';
import { asNumber, asSample } from './format';
import { HealthWatch, judge, type Status } from './health';
import { serverClock } from './now';
import { fetchPast } from './past';
import type { Cursor, Gap, Message, Subscribed } from './protocol';
import { type Sample, SampleRing, SparkHistory } from './series';
import { openSocket } from './socket';
import { parseDeviceTopic } from './topic';

const EVERYTHING = 1;
const CHARTED = 2;
const BACKFILL = 3;
const RECEIPTS = 4;
const KEPT_GAPS = 20;
const KEPT_CHARTS = 8;
export const CHART_WINDOW_MS = 5 * 60_000;
/** The little lines begin this long before the page was opened, if the server's log still knows. */
const SPARK_WINDOW_MS = 60_000;
/** But a busy server is not asked for more messages than this for them. */
const SPARK_MESSAGES = 20_000;
const SPARK_PATIENCE_MS = 2_000;
/** The snapshot comes first: from it we know where in the log a minute ago is. */
const SPARK_DELAY_MS = 300;
/** After `subscribed`, this long without a message means that there is none. */
const SILENCE_MS = 1_000;

/** A gap, and when this page heard of it. */
export interface MissedNote extends Gap {
  readonly at: number;
}

interface Charted {
  readonly ring: SampleRing;
  /** Where the line was left, to go on from there; null while it is drawn. */
  cursor: Cursor | null;
}

export class Gate {
  readonly store = new Store((flush) => requestAnimationFrame(flush));
  readonly connection: Connection;
  readonly account: Account;
  readonly sparks = new SparkHistory();
  /** Null until the server has said which devices there are. */
  board: DeviceBoard | null = null;
  missed: readonly MissedNote[] = [];
  truncated = false;
  /** Whether a first snapshot has come, so that "nothing there" is known and not merely assumed. */
  heard = false;
  /** When the server began to allow us something else than before; null if it never did. */
  rightsChanged: number | null = null;
  /** Whether the server keeps the list of devices from us. */
  devicesForbidden = false;
  #filters: readonly string[] | null = null;
  #user: string | null | undefined;
  readonly #commander: Commander;
  readonly #health: HealthWatch;
  readonly #listeners = new Set<() => void>();
  readonly #charts = new Map<string, Charted>();
  #refusal = '';
  #epoch = '';
  #seq = 0;
  #sparksFilled = false;

  constructor(private readonly root: URL) {
    const socket = new URL('api/ws', root);
    socket.protocol = root.protocol === 'https:' ? 'wss:' : 'ws:';
    this.connection = new Connection(() => openSocket(socket, this.#user ?? ''));
    this.#commander = new Commander(root, this.connection, RECEIPTS);
    this.#health = new HealthWatch(new URL('health/ready', root), this.#tell);
    this.account = new Account(root, () => this.account.isOut || this.connection.state.kind === 'open', this.#meet);
  }

  start(): void {
    this.connection.onState(({ kind }) => {
      if (kind === 'open') void this.#findDevices();
      this.account.check();
      this.#health.check();
      this.#tell();
    });
    document.addEventListener('visibilitychange', () => {
      this.#health.check();
      if (document.visibilityState === 'visible' && this.account.isOut) this.account.check();
    });
    this.account.check();
    this.#health.check();
  }

  /** Watch what we may, as soon as the server has said what that is; nothing without a login. */
  readonly #meet = (): void => {
    const { isOut, me } = this.account;
    if (isOut) {
      this.connection.stop();
      this.#forget();
    } else if (me !== null) {
      // Somebody else: only a new page remembers nothing at all of who was here before.
      if (this.#user !== undefined && this.#user !== me.user) location.reload();
      this.#user = me.user;
      this.#watch(watched(me));
      this.connection.start();
    }
    this.#tell();
  };

  /** Whether somebody was let in since the page was opened. */
  get wasIn(): boolean {
    return this.#user !== undefined;
  }

  #forget(): void {
    this.connection.unsubscribe(EVERYTHING);
    this.#filters = this.board = null;
    this.heard = false;
    this.store.clear();
  }

  #watch(filters: readonly string[]): void {
    const before = this.#filters;
    if (before?.join('\n') === filters.join('\n')) return;
    if (before !== null) {
      this.rightsChanged = Date.now();
      this.#forget();
    }
    this.#filters = filters;
    if (filters.length === 0) {
      this.#hear();
      return;
    }
    this.connection.subscribe(
      EVERYTHING,
      { filters, mode: 'latest', maxRateHz: 10 },
      {
        messages: this.#messages,
        gap: this.#gap,
        subscribed: this.#subscribed,
        refused: (_code, message) => {
          this.#refusal = message;
          this.#tell();
        },
      },
    );
  }

  /** Be told when status, devices or gaps changed; values come from the store. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get status(): Status {
    const { state } = this.connection;
    return judge(state, this.#health.health, this.#refusal, navigator.onLine, Date.now());
  }

  /** Whether whoever looks may send commands to a device, by its name. */
  readonly mayCommand = (device: string): boolean => {
    const { me } = this.account;
    return me !== null && this.board !== null && mayPublish(me, `${this.board.base}/${device}/set`);
  };

  command(command: Command): void {
    if (this.board !== null) void this.#commander.send(this.board.base, command);
  }

  retryNow(): void {
    this.connection.retryNow();
    this.#health.check();
  }

  forgetRightsChanged(): void {
    this.rightsChanged = null;
    this.#tell();
  }

  forgetMissed(): void {
    this.missed = [];
    this.#tell();
  }

  /**
   * Draw this topic: its ring fills with its history, with what the server's log still holds, and
   * from now on with what comes; `filled` is told when history is there.
   */
  chart(topic: string, filled: () => void): SampleRing {
    const known = this.#charts.get(topic);
    const charted = known ?? { ring: new SampleRing(), cursor: this.#placeAt(CHART_WINDOW_MS) };
    this.#charts.delete(topic);
    this.#charts.set(topic, charted);
    const oldest = this.#charts.keys().next().value;
    if (this.#charts.size > KEPT_CHARTS && oldest !== undefined) this.#charts.delete(oldest);
    const { ring, cursor } = charted;
    const past = known === undefined ? this.#fillWithPast(topic, ring) : Promise.resolve();
    let isFirst = known === undefined;
    const subscription = this.connection.subscribe(
      CHARTED,
      { filters: [topic], mode: 'all', ...(cursor !== null && { since: cursor }) },
      {
        messages: (messages) => {
          void past.then(() => {
            for (const { time, payload, gone, last } of messages) {
              const value = gone === true ? null : asSample(payload);
              // From here on every sample comes, but the first may be what the broker held, told again.
              if (isFirst && last !== true) ring.forgetFrom(time);
              if (!isFirst || value !== ring.newest) ring.push(time, value);
              isFirst = false;
            }
            charted.cursor = subscription.cursor;
          });
        },
        gap: () => {
          void past.then(() => {
            ring.breakLine();
          });
        },
      },
    );
    void past.then(filled);
    return ring;
  }

  async #fillWithPast(topic: string, ring: SampleRing): Promise<void> {
    for (const { time, value } of await fetchPast(this.root, topic)) ring.push(time, value);
  }

  endChart(): void {
    this.connection.unsubscribe(CHARTED);
  }

  /** A place in the server's log about `ago` ms back: the newest value that is that old. */
  #placeAt(ago: number): Cursor | null {
    const from = serverClock.at(Date.now()) - ago;
    let seq = 0;
    let oldest = Infinity;
    for (const value of this.store.values()) {
      oldest = Math.min(oldest, value.seq);
      if (value.time < from) seq = Math.max(seq, value.seq);
    }
    if (this.#epoch === '' || oldest === Infinity) return null;
    return { epoch: this.#epoch, seq: seq > 0 ? seq : Math.max(0, oldest - 1) };
  }

  readonly #messages = (messages: readonly Message[]): void => {
    const now = Date.now();
    for (const message of messages) {
      if (message.last === true || message.gone === true) continue;
      serverClock.observe(message.time, now);
      this.#spark(message);
    }
    this.store.apply(messages);
    if (!this.heard) this.#hear();
  };

  #hear(): void {
    this.heard = true;
    this.#tell();
  }

  /** Fill the little lines with the minute before this page was opened. */
  #backfillSparks(board: DeviceBoard): void {
    const since = this.#placeAt(SPARK_WINDOW_MS);
    if (this.#sparksFilled || since === null || this.#seq - since.seq > SPARK_MESSAGES) return;
    this.#sparksFilled = true;
    const older = new Map<string, Sample[]>();
    const done = (): void => {
      clearTimeout(patience);
      this.connection.unsubscribe(BACKFILL);
      for (const [topic, samples] of older) this.sparks.prepend(topic, samples);
      this.#tell();
    };
    const patience = setTimeout(done, SPARK_PATIENCE_MS);
    let newest = Infinity;
    this.connection.subscribe(
      BACKFILL,
      { filters: [`${board.base}/+/+`], since },
      {
        subscribed: ({ seq }) => {
          newest = seq;
        },
        messages: (messages) => {
          for (const { topic, time, payload } of messages) {
            const value = asNumber(payload);
            if (value === null) continue;
            const samples = older.get(topic) ?? [];
            samples.push({ time, value });
            older.set(topic, samples);
          }
          if ((messages.at(-1)?.seq ?? 0) > newest) done();
        },
        gap: done,
      },
    );
  }

  #spark({ topic, time, payload }: Message): void {
    if (this.board === null || parseDeviceTopic(this.board.base, topic)?.point == null) return;
    const value = asNumber(payload);
    if (value !== null) this.sparks.push(topic, time, value);
  }

  readonly #subscribed = (subscribed: Subscribed): void => {
    this.#epoch = subscribed.epoch;
    this.#refusal = '';
    this.#seq = subscribed.seq;
    this.truncated = subscribed.truncated === true;
    setTimeout(() => {
      if (!this.heard && this.connection.state.kind === 'open') this.#hear();
    }, SILENCE_MS);
    this.#tell();
  };

  readonly #gap = (gap: Gap): void => {
    if (gap.reset) this.store.clear();
    this.missed = [{ ...gap, at: Date.now() }, ...this.missed].slice(0, KEPT_GAPS);
    this.#health.check();
    this.#tell();
  };

  /** Ask which devices there are; afterwards the topic `<base>/bridge/devices` says it. */
  async #findDevices(): Promise<void> {
    const { state } = this.connection;
    try {
      const answer = await fetch(new URL('api/devices', this.root), { cache: 'no-store' });
      this.devicesForbidden = answer.status === 403;
      if (this.devicesForbidden) {
        this.#tell();
        return;
      }
      const list = answer.ok ? parseDeviceList(await answer.text()) : null;
      if (list !== null) {
        this.board = new DeviceBoard(list);
        this.#tell();
        setTimeout(() => {
          if (this.board !== null) this.#backfillSparks(this.board);
        }, SPARK_DELAY_MS);
        return;
      }
    } catch {
      // Lost again meanwhile: the next connection asks again.
    }
    setTimeout(() => {
      if (this.connection.state === state) void this.#findDevices();
    }, 5_000);
  }

  readonly #tell = (): void => {
    for (const listener of this.#listeners) listener();
  };
}

