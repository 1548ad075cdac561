import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MOST_TABS, type Said, SILENCE_MS, Switchboard, type Told } from '../src/switchboard';

/** The far end of the one WebSocket: what was sent to it, and what it says. */
class Wire {
  static made: Wire[] = [];
  readyState = 0;
  sent: Record<string, unknown>[] = [];
  isClosed = false;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;

  constructor(readonly url: string) {
    Wire.made.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }

  close(): void {
    this.isClosed = true;
  }

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  say(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  /** What the ids of the subscriptions on this wire are, in the order in which they came. */
  ids(op = 'subscribe'): unknown[] {
    return this.sent.filter((frame) => frame['op'] === op).map(({ id }) => id);
  }
}

/** A tab, at the other end of a real MessageChannel. */
class Tab {
  readonly said: Said[] = [];
  readonly #port: MessagePort;

  constructor(board: Switchboard) {
    const { port1, port2 } = new MessageChannel();
    channels.push(port1, port2);
    board.connect(port1);
    this.#port = port2;
    port2.onmessage = ({ data }: MessageEvent<Said>) => this.said.push(data);
  }

  async tell(told: Told): Promise<this> {
    this.#port.postMessage(told);
    await delivered();
    return this;
  }

  async open(): Promise<this> {
    return this.tell({ op: 'open', url: 'ws://gateway/api/ws' });
  }

  async ask(frame: object): Promise<this> {
    return this.tell({ op: 'frame', text: JSON.stringify(frame) });
  }

  frames(): unknown[] {
    return this.said.flatMap((each) => (each.op === 'frame' ? [JSON.parse(each.text) as unknown] : []));
  }

  ops(): string[] {
    return this.said.map(({ op }) => op);
  }
}

const channels: MessagePort[] = [];
let now = 0;
let board: Switchboard;

async function delivered(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((done) => setTimeout(done, 1));
}

function wire(): Wire {
  const newest = Wire.made.at(-1);
  if (newest === undefined) throw new Error('nobody dialled');
  return newest;
}

async function openTabs(count: number): Promise<Tab[]> {
  const tabs: Tab[] = [];
  for (let n = 0; n < count; n += 1) tabs.push(await new Tab(board).open());
  wire().open();
  await delivered();
  return tabs;
}

beforeEach(() => {
  Wire.made = [];
  now = 0;
  board = new Switchboard(
    (url) => new Wire(url) as unknown as WebSocket,
    () => now,
  );
});

afterEach(() => {
  for (const port of channels.splice(0)) port.close();
});

describe('one WebSocket for all tabs', () => {
  test('the first tab opens it, and those that come later find it open', async () => {
    const [first] = await openTabs(1);
    const second = await new Tab(board).open();
    expect(Wire.made.map(({ url }) => url)).toEqual(['ws://gateway/api/ws']);
    expect([first?.ops(), second.ops()]).toEqual([['open'], ['open']]);
  });

  test('tabs that use the same id get each its own frames, under that id', async () => {
    const [one, two] = await openTabs(2);
    await one?.ask({ op: 'subscribe', id: 1, filters: ['a'] });
    await two?.ask({ op: 'subscribe', id: 1, filters: ['b'] });
    const [first, second] = wire().ids();
    expect(first).not.toBe(second);
    wire().say({ op: 'messages', id: first, messages: ['for one'] });
    wire().say({ op: 'gap', id: second, missed: 3 });
    wire().say({ op: 'messages', id: 4711, messages: ['for nobody'] });
    await delivered();
    expect(one?.frames()).toEqual([{ op: 'messages', id: 1, messages: ['for one'] }]);
    expect(two?.frames()).toEqual([{ op: 'gap', id: 1, missed: 3 }]);
  });

  test('the same id replaces a subscription on the wire, too, and ends there', async () => {
    const [tab] = await openTabs(1);
    await tab?.ask({ op: 'subscribe', id: 2, filters: ['a'] });
    await tab?.ask({ op: 'subscribe', id: 2, filters: ['b'] });
    await tab?.ask({ op: 'unsubscribe', id: 2 });
    const [first, second] = wire().ids();
    expect(second).toBe(first);
    expect(wire().ids('unsubscribe')).toEqual([first]);
    wire().say({ op: 'unsubscribed', id: first });
    wire().say({ op: 'messages', id: first, messages: ['too late'] });
    await delivered();
    expect(tab?.frames()).toEqual([{ op: 'unsubscribed', id: 2 }]);
  });

  test('an answer to a ping or a publish comes to who asked, once', async () => {
    const [one, two] = await openTabs(2);
    await one?.ask({ op: 'ping', id: 1 });
    await two?.ask({ op: 'publish', id: 1, topic: 'a' });
    const [ping] = wire().ids('ping');
    const [publish] = wire().ids('publish');
    wire().say({ op: 'error', id: publish, code: 'forbidden' });
    wire().say({ op: 'pong', id: ping });
    wire().say({ op: 'pong', id: ping });
    await delivered();
    expect(one?.frames()).toEqual([{ op: 'pong', id: 1 }]);
    expect(two?.frames()).toEqual([{ op: 'error', id: 1, code: 'forbidden' }]);
  });

  test('a refused subscription keeps its place, for what it replaced goes on', async () => {
    const [tab] = await openTabs(1);
    await tab?.ask({ op: 'subscribe', id: 1, filters: ['a'] });
    const [id] = wire().ids();
    wire().say({ op: 'error', id, code: 'bad_filter' });
    wire().say({ op: 'messages', id, messages: [] });
    await delivered();
    expect(tab?.frames()).toHaveLength(2);
  });

  test('what is no frame is passed over, in both directions', async () => {
    const [tab] = await openTabs(1);
    await tab?.tell({ op: 'frame', text: 'no JSON' });
    wire().onmessage?.({ data: 'no JSON' });
    wire().onmessage?.({ data: new ArrayBuffer(1) });
    wire().say({ op: 'messages' });
    await delivered();
    expect([wire().sent, tab?.frames()]).toEqual([[], []]);
  });
});

describe('tabs that go', () => {
  test('a tab that leaves takes its subscriptions along, and the last one the WebSocket', async () => {
    const [one, two] = await openTabs(2);
    await one?.ask({ op: 'subscribe', id: 1, filters: ['a'] });
    await one?.ask({ op: 'subscribe', id: 2, filters: ['b'] });
    await two?.ask({ op: 'subscribe', id: 1, filters: ['a'] });
    const [first, second, others] = wire().ids();
    await one?.tell({ op: 'leave' });
    expect(wire().ids('unsubscribe')).toEqual([first, second]);
    wire().say({ op: 'messages', id: first, messages: [] });
    wire().say({ op: 'messages', id: others, messages: [] });
    await delivered();
    expect([one?.frames(), two?.frames()]).toMatchObject([[], [{ op: 'messages' }]]);
    expect(wire().isClosed).toBe(false);
    await two?.tell({ op: 'leave' });
    expect(wire().isClosed).toBe(true);
  });

  test('a tab that has been silent for too long is given up; a beat is enough', async () => {
    const [crashed, alive] = await openTabs(2);
    await crashed?.ask({ op: 'subscribe', id: 1, filters: ['a'] });
    now = SILENCE_MS;
    board.sweep();
    await alive?.tell({ op: 'beat' });
    now += 1;
    board.sweep();
    await delivered();
    expect([crashed?.ops(), alive?.ops()]).toEqual([['open', 'closed'], ['open']]);
    expect(wire().ids('unsubscribe')).toEqual(wire().ids());
  });

  test('one tab too many is told that there is no place, and finds one when another has left', async () => {
    const tabs = await openTabs(MOST_TABS);
    const extra = await new Tab(board).open();
    expect(extra.ops()).toEqual(['full']);
    await tabs[0]?.tell({ op: 'leave' });
    const next = await new Tab(board).open();
    expect(next.ops()).toEqual(['open']);
    expect(Wire.made).toHaveLength(1);
  });
});

describe('a WebSocket that goes', () => {
  test('all tabs hear the code, and the first that comes back opens another', async () => {
    const [one, two] = await openTabs(2);
    wire().onclose?.({ code: 1012 });
    await delivered();
    for (const tab of [one, two]) expect(tab?.said.at(-1)).toEqual({ op: 'closed', code: 1012 });
    await openTabs(2);
    expect(Wire.made).toHaveLength(2);
  });

  test('where one tab finds it dead, it is dead for all', async () => {
    const [one, two] = await openTabs(2);
    await one?.tell({ op: 'abandon' });
    expect(wire().isClosed).toBe(true);
    expect(two?.said.at(-1)).toEqual({ op: 'closed', code: 1006 });
  });

  test('a frame that a tab sends before it is open, or after it was given up, goes nowhere', async () => {
    const tab = await new Tab(board).open();
    await tab.ask({ op: 'ping', id: 1 });
    expect(wire().sent).toEqual([]);
    const stranger = new Tab(board);
    await stranger.ask({ op: 'ping', id: 1 });
    expect(stranger.said).toEqual([]);
  });
});
