import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Command, Commander, isOver, type Receipt } from '../src/command';
import type { Message, Subscription, SubscriptionListener, SubscriptionOptions } from '../src/protocol';

const ROOT = new URL('http://gateway.local/');

/** A server: keeps what is published, and says what receipts it is given. */
class Server {
  readonly published: { topic: string; payload: string }[] = [];
  readonly filters: string[] = [];
  answer = new Response(null, { status: 202 });
  #listener: SubscriptionListener | null = null;

  readonly fetch = (_url: URL, { body }: { body: string }): Promise<Response> => {
    this.published.push(JSON.parse(body) as { topic: string; payload: string });
    return Promise.resolve(this.answer);
  };

  subscribe(_id: number, options: SubscriptionOptions, listener: SubscriptionListener): Subscription {
    this.filters.push(...options.filters);
    this.#listener = listener;
    return null as unknown as Subscription;
  }

  get wish(): Record<string, unknown> {
    return JSON.parse(this.published.at(-1)?.payload ?? '{}') as Record<string, unknown>;
  }

  say(receipt: object): void {
    const message: Message = { topic: 'base/boiler/result', payload: JSON.stringify(receipt), time: 0, seq: 1 };
    this.#listener?.messages([message]);
  }
}

function command(told: Receipt[], more: Partial<Command> = {}): Command {
  const hear = (receipt: Receipt): void => void told.push(receipt);
  return { device: 'boiler', point: 'pump', value: true, confirms: true, told: hear, ...more };
}

describe('commands', () => {
  const server = (): Server => {
    const made = new Server();
    vi.stubGlobal('fetch', made.fetch);
    return made;
  };

  beforeEach(() => {
    vi.useFakeTimers();
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it('go out with a transaction of their own, and hear of each step', async () => {
    const there = server();
    const commander = new Commander(ROOT, there, 4);
    const told: Receipt[] = [];
    await commander.send('base', command(told));
    expect(there.published[0]?.topic).toBe('base/boiler/set');
    expect(there.filters).toEqual(['base/+/result']);
    const { pump, transaction } = there.wish;
    expect(pump).toBe(true);
    for (const stage of ['accepted', 'written', 'confirmed', 'confirmed']) {
      there.say({ transaction, point: 'pump', stage });
    }
    expect(told.map(({ stage }) => stage)).toEqual(['sending', 'accepted', 'written', 'confirmed']);
  });

  it('hear nothing of what others asked for', async () => {
    const there = server();
    const told: Receipt[] = [];
    await new Commander(ROOT, there, 4).send('base', command(told));
    there.say({ transaction: 'another', point: 'pump', stage: 'confirmed' });
    there.say({ transaction: there.wish['transaction'], point: 'level', stage: 'confirmed' });
    there.say({ transaction: there.wish['transaction'], point: 'pump', stage: 'nonsense' });
    expect(told.map(({ stage }) => stage)).toEqual(['sending']);
  });

  it('that are refused say why', async () => {
    const there = server();
    there.answer = new Response('{"error":{"code":"forbidden","message":"the rules do not allow it"}}', { status: 403 });
    const told: Receipt[] = [];
    await new Commander(ROOT, there, 4).send('base', command(told));
    expect(told.at(-1)).toEqual({ stage: 'refused', error: 'the rules do not allow it' });
  });

  it('that reach nobody say so', async () => {
    const there = server();
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('network')));
    const told: Receipt[] = [];
    await new Commander(ROOT, there, 4).send('base', command(told));
    expect(told.at(-1)?.stage).toBe('refused');
  });

  it('of which nothing is heard are given up', async () => {
    const there = server();
    const told: Receipt[] = [];
    await new Commander(ROOT, there, 4).send('base', command(told));
    vi.advanceTimersByTime(60_000);
    expect(told.at(-1)?.stage).toBe('timeout');
  });

  it('end with the writing where the hardware says nothing back', async () => {
    const there = server();
    const told: Receipt[] = [];
    await new Commander(ROOT, there, 4).send('base', command(told, { confirms: false }));
    there.say({ transaction: there.wish['transaction'], point: 'pump', stage: 'written' });
    vi.advanceTimersByTime(60_000);
    expect(told.map(({ stage }) => stage)).toEqual(['sending', 'written']);
    expect(isOver({ stage: 'written', error: '' }, false)).toBe(true);
    expect(isOver({ stage: 'written', error: '' }, true)).toBe(false);
  });

  it('are bounded: the oldest of too many is no longer waited for', async () => {
    const there = server();
    const commander = new Commander(ROOT, there, 4);
    const first: Receipt[] = [];
    await commander.send('base', command(first));
    const { transaction } = there.wish;
    for (let number = 0; number < 64; number += 1) await commander.send('base', command([]));
    there.say({ transaction, point: 'pump', stage: 'confirmed' });
    expect(first.map(({ stage }) => stage)).toEqual(['sending']);
  });
});
