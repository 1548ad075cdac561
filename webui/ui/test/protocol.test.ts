import { describe, expect, test } from 'vitest';
import {
  type Gap,
  type Message,
  parseFrame,
  reconnectWaitMs,
  type ServerFrame,
  Subscription,
  type SubscriptionOptions,
} from '../src/protocol';
import { Store } from '../src/store';

function message(seq: number, topic = 'a', payload = String(seq)): Message {
  return { topic, payload, time: 1_763_690_523_000 + seq, seq };
}

function subscription(options: Partial<SubscriptionOptions> = {}): {
  subscription: Subscription;
  seen: number[];
  gaps: Gap[];
} {
  const seen: number[] = [];
  const gaps: Gap[] = [];
  const made = new Subscription(
    1,
    { filters: ['#'], ...options },
    {
      messages: (messages) => seen.push(...messages.map(({ seq }) => seq)),
      gap: (gap) => gaps.push(gap),
    },
  );
  return { subscription: made, seen, gaps };
}

describe('frames', () => {
  test('each frame of the contract is understood', () => {
    expect(parseFrame('{"op":"subscribed","id":1,"epoch":"k3v9","seq":1250,"recovered":true}')).toEqual({
      op: 'subscribed',
      id: 1,
      epoch: 'k3v9',
      seq: 1250,
      recovered: true,
    });
    expect(parseFrame('{"op":"gap","id":1,"missed":39,"topics":["a"],"reset":false,"reason":"slow"}')).toEqual({
      op: 'gap',
      id: 1,
      missed: 39,
      topics: ['a'],
      reset: false,
      reason: 'slow',
    });
    expect(parseFrame('{"op":"pong","id":3}')).toEqual({ op: 'pong', id: 3 });
    expect(parseFrame('{"op":"error","id":2,"code":"forbidden","message":"no"}')).toMatchObject({
      code: 'forbidden',
    });
  });

  test('a missing id is the default subscription, a missing count is unknown', () => {
    expect(parseFrame('{"op":"gap","missed":null,"reset":true,"reason":"restart"}')).toMatchObject({
      id: 0,
      missed: null,
      topics: [],
      reset: true,
    });
  });

  test.each(['', 'x', '[]', 'null', '{}', '{"op":"new"}', '{"op":"messages"}', '{"op":"subscribed"}'])(
    'what is no known frame is passed over: %s',
    (text) => {
      expect(parseFrame(text)).toBeNull();
    },
  );

  test('a message without a topic or seq does not get through', () => {
    const text = JSON.stringify({ op: 'messages', id: 1, messages: [{ topic: 'a' }, message(7), 5, null] });
    expect(parseFrame(text)).toMatchObject({ messages: [{ seq: 7 }] });
  });
});

describe('resuming', () => {
  test('the first request asks for everything, with the options in the words of the wire', () => {
    const { subscription: it } = subscription({ mode: 'latest', maxRateHz: 10 });
    expect(JSON.parse(it.request())).toEqual({
      op: 'subscribe',
      id: 1,
      filters: ['#'],
      mode: 'latest',
      max_rate_hz: 10,
    });
  });

  test('after messages it goes on behind the last of them', () => {
    const { subscription: it, seen } = subscription();
    it.receive({ op: 'subscribed', id: 1, epoch: 'k3v9', seq: 9 });
    it.receive({ op: 'messages', id: 1, messages: [message(4), message(7)] });
    expect(seen).toEqual([4, 7]);
    expect(JSON.parse(it.request())).toMatchObject({ since: 'k3v9-7' });
  });

  test('what still comes for the subscription that it replaced is passed over', () => {
    const { subscription: it, seen, gaps } = subscription();
    const late: readonly ServerFrame[] = [
      { op: 'messages', id: 1, messages: [message(3)] },
      { op: 'gap', id: 1, missed: null, topics: [], reset: false, reason: 'link' },
    ];
    for (const frame of late) it.receive(frame);
    expect([seen, gaps, it.cursor]).toEqual([[], [], null]);
    it.receive({ op: 'subscribed', id: 1, epoch: 'k3v9', seq: 9 });
    for (const frame of late) it.receive(frame);
    expect([seen, gaps.length]).toEqual([[3], 1]);
    it.request();
    for (const frame of late) it.receive(frame);
    expect([seen, gaps.length]).toEqual([[3], 1]);
  });

  test('a new epoch does not count before something of it was seen', () => {
    const { subscription: it } = subscription({ since: { epoch: 'old', seq: 5 } });
    it.receive({ op: 'subscribed', id: 1, epoch: 'new', seq: 2, recovered: false });
    expect(JSON.parse(it.request())).toMatchObject({ since: 'old-5' });
  });

  test('a gap with reset forgets the cursor, one without keeps it', () => {
    const { subscription: it, gaps } = subscription({ since: { epoch: 'old', seq: 5 } });
    const gap = { op: 'gap', id: 1, missed: 3, topics: [], reset: false, reason: 'slow' } as const;
    it.receive({ op: 'subscribed', id: 1, epoch: 'old', seq: 9, recovered: false });
    it.receive(gap);
    expect(it.cursor).toEqual({ epoch: 'old', seq: 5 });
    it.receive({ ...gap, reset: true, reason: 'restart' });
    expect(it.cursor).toBeNull();
    expect(gaps).toHaveLength(2);
  });

  test('wherever the line is cut, the page ends with the last values of the server', () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const random = generator(seed);
      const server = new Server();
      const store = new Store((flush) => {
        flush();
      });
      const it = new Subscription(
        1,
        { filters: ['#'] },
        {
          messages: (messages) => {
            store.apply(messages);
          },
          gap: ({ reset }) => {
            if (reset) store.clear();
          },
        },
      );
      for (let round = 0; round < 12; round += 1) {
        for (let count = Math.floor(random() * 12); count > 0; count -= 1) {
          server.publish(`t${Math.floor(random() * 5)}`, random() < 0.25 ? '' : String(random()));
        }
        if (random() < 0.15) server.restart();
        const frames = server.answer(it.request());
        const lastRound = round === 11;
        const heard = lastRound ? frames.length : Math.floor(random() * (frames.length + 1));
        for (const frame of frames.slice(0, heard)) it.receive(frame);
      }
      const shown = Object.fromEntries([...store.values()].map(({ topic, payload }) => [topic, payload]));
      expect(shown, `seed ${seed}`).toEqual(server.lastValues());
    }
  });
});

test('waiting grows from 0.3 s to 5 s, half of it by chance', () => {
  expect(reconnectWaitMs(0, 0)).toBe(150);
  expect(reconnectWaitMs(0, 1)).toBe(300);
  expect(reconnectWaitMs(2, 1)).toBe(1200);
  expect(reconnectWaitMs(5, 1)).toBe(5000);
  expect(reconnectWaitMs(100_000, 1)).toBe(5000);
});

/** The hub's side of the contract, as small as it goes: a short log, last values, tombstones. */
class Server {
  #epoch = 1;
  #seq = 0;
  #log: Message[] = [];
  #newest = new Map<string, Message>();

  publish(topic: string, payload: string): void {
    this.#seq += 1;
    const gone = payload === '' ? { gone: true as const } : {};
    const published = { ...message(this.#seq, topic, payload), ...gone };
    this.#log = [...this.#log, published].slice(-8);
    this.#newest.delete(topic);
    this.#newest.set(topic, published);
  }

  restart(): void {
    const values = this.lastValues();
    this.#epoch += 1;
    this.#seq = 0;
    this.#log = [];
    this.#newest.clear();
    for (const [topic, payload] of Object.entries(values)) this.publish(topic, payload);
  }

  lastValues(): Record<string, string> {
    const values = [...this.#newest.values()].filter(({ gone }) => gone !== true);
    return Object.fromEntries(values.map(({ topic, payload }) => [topic, payload]));
  }

  answer(request: string): ServerFrame[] {
    const { since } = JSON.parse(request) as { since?: string };
    const epoch = `e${this.#epoch}`;
    const [known, at] = since?.split('-') ?? [];
    const cursor = Number(at ?? 0);
    const same = known === epoch;
    const oldest = this.#log[0]?.seq ?? 1;
    const recovered = same && cursor >= oldest - 1;
    const frames: ServerFrame[] = [{ op: 'subscribed', id: 1, epoch, seq: this.#seq, recovered }];
    if (since !== undefined && !recovered) {
      const reason = same ? 'resume' : 'restart';
      frames.push({ op: 'gap', id: 1, missed: null, topics: [], reset: !same, reason });
    }
    const newer = recovered
      ? this.#log.filter(({ seq }) => seq > cursor)
      : [...this.#newest.values()].filter(({ seq, gone }) => (same ? seq > cursor : gone !== true));
    for (let first = 0; first < newer.length; first += 2) {
      frames.push({ op: 'messages', id: 1, messages: newer.slice(first, first + 2) });
    }
    return frames;
  }
}

function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
