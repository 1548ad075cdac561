import { expect, test } from 'vitest';
import { ServerClock } from '../src/clock';
import { DeviceBoard, eventType, parseAvailability, parseDeviceList } from '../src/devices';
import { judge } from '../src/health';
import { type Change, Store } from '../src/store';

const LIST = JSON.stringify({
  base: 'fieldgate',
  devices: [
    {
      name: 'boiler',
      id: 'boiler',
      reader: 'serial',
      points: {
        temperature: { unit: '°C', device_class: null, name: null },
        valve: { unit: null, device_class: null, name: 'Return valve' },
      },
    },
    { name: 'host', id: 'host', reader: 'host', points: {} },
  ],
});

let seq = 0;

class Stage {
  #last: Change = { topics: new Set(), shape: true, all: true };
  readonly store = new Store((flush) => {
    flush();
  });
  readonly board: DeviceBoard;

  constructor() {
    const list = parseDeviceList(LIST);
    if (list === null) throw new Error('the list of this test is broken');
    this.board = new DeviceBoard(list);
    this.store.subscribe((change) => {
      this.#last = change;
      this.board.update(change, this.store);
    });
  }

  put(topic: string, payload: string, time = 1_000): Change {
    seq += 1;
    const gone = payload === '' ? { gone: true as const } : {};
    this.store.apply([{ topic: `fieldgate/${topic}`, payload, time, seq, ...gone }]);
    return this.#last;
  }

  view(name: string): DeviceBoard['views'][number] | undefined {
    return this.board.views.find((view) => view.name === name);
  }
}

test('a card holds the listed points first, then what else the device sends', () => {
  const stage = new Stage();
  stage.put('boiler/zeta', 'x');
  stage.put('boiler/alpha', '1');
  stage.put('boiler/valve', 'open');
  stage.put('boiler/temperature', '61.5');
  stage.put('boiler/set', '1');
  stage.put('boiler/availability', '{"state":"online"}');
  const view = stage.view('boiler');
  expect(view?.availability).toEqual({ state: 'online', reason: '' });
  expect(view?.points.map(({ name, unit, numeric }) => [name, unit, numeric])).toEqual([
    ['Temperature', '°C', true],
    ['Return valve', '', false],
    ['Alpha', '', true],
    ['Zeta', '', false],
  ]);
});

test('a point that the state calls stale is stale, and how often it was heard is known', () => {
  const stage = new Stage();
  const known = { name: 'boiler', points: { temperature: { interval_s: 2 }, button: { type: 'event' } } };
  stage.put('bridge/devices', JSON.stringify({ base: 'fieldgate', devices: [known] }));
  stage.put('boiler/temperature', '61.5');
  stage.put('boiler/pressure', '1.5');
  stage.put('boiler/button', '{"event_type":"double_press","time":"2026-11-21T08:15:30.250Z"}');
  const points = (): unknown =>
    stage.view('boiler')?.points.map(({ point, stale, interval, event }) => [point, stale, interval, event]);
  stage.put('boiler', '{"temperature":61.5,"stale":["temperature"]}');
  expect(points()).toEqual([
    ['temperature', true, 2, false],
    ['button', false, null, true],
    ['pressure', false, null, false],
  ]);
  stage.put('boiler', '{"temperature":61.5}');
  expect(points()).toContainEqual(['temperature', false, 2, false]);
  expect(eventType(stage.view('boiler')?.points[1]?.value.payload ?? '')).toBe('Double press');
  expect(eventType('press')).toBe('press');
});

test('bad frames are counted and shown newest first', () => {
  const stage = new Stage();
  const frames = [
    { time: '2026-11-21T08:15:30.250Z', why: 'holds no pair', content: 'hello' },
    { time: '2026-11-21T08:15:31.250Z', why: "doesn't fit its checksum", content: '02 ff' },
  ];
  const boiler = { reason: '', rejected: { checksum: 3, undecodable: 1 }, bad_frames: frames };
  stage.put('bridge/health', JSON.stringify({ devices: { boiler, host: 5 } }));
  expect(stage.view('boiler')?.rejected).toBe(4);
  expect(stage.view('boiler')?.badFrames.map(({ why, content }) => [why, content])).toEqual([
    ["doesn't fit its checksum", '02 ff'],
    ['holds no pair', 'hello'],
  ]);
  expect(stage.view('host')?.badFrames).toEqual([]);
});

test('what is in the tree but not in the list is no card', () => {
  const stage = new Stage();
  stage.put('stranger/x', '1');
  stage.put('bridge/x', '1');
  expect(stage.board.views.map(({ name }) => name)).toEqual(['boiler', 'host']);
});

test('only the card that something came for is made anew', () => {
  const stage = new Stage();
  stage.put('boiler/temperature', '1');
  const [boiler, host] = stage.board.views;
  stage.put('boiler/temperature', '2');
  expect(stage.board.views[0]).not.toBe(boiler);
  expect(stage.board.views[1]).toBe(host);
  const before = stage.board.views;
  stage.put('bridge/info', '{}');
  expect(stage.board.views).toBe(before);
});

test('why a device is offline is taken from the gateway where the device does not say it', () => {
  const stage = new Stage();
  stage.put('boiler/availability', '{"state":"offline"}');
  const [, host] = stage.board.views;
  const health = { host: { state: 'online' }, boiler: { state: 'offline', reason: 'unplugged' } };
  stage.put('bridge/health', JSON.stringify({ devices: health }));
  expect(stage.view('boiler')?.availability).toEqual({ state: 'offline', reason: 'unplugged' });
  expect(stage.view('host')?.availability).toEqual(host?.availability);
  const before = stage.board.views;
  stage.put('bridge/health', JSON.stringify({ devices: health }));
  expect(stage.board.views[0]).toBe(before[0]);
});

test('a cleared point leaves its card', () => {
  const stage = new Stage();
  stage.put('host/load', '1');
  stage.put('host/load', '');
  expect(stage.view('host')?.points).toEqual([]);
});

test('the list on the topic replaces the one that was asked for', () => {
  const stage = new Stage();
  stage.put('pump/speed', '3');
  stage.put('bridge/devices', '{"base":"fieldgate","devices":[{"name":"pump","reader":"modbus"}]}');
  expect(stage.board.views.map(({ name, points }) => [name, points.length])).toEqual([['pump', 1]]);
});

test('last seen is what the state says, else the newest point', () => {
  const stage = new Stage();
  expect(stage.view('boiler')?.lastSeen).toBeNull();
  stage.put('boiler/temperature', '1', 5_000);
  expect(stage.view('boiler')?.lastSeen).toBe(5_000);
  stage.put('boiler', '{"temperature":1,"time":"1970-01-01T00:00:02Z"}', 9_000);
  expect(stage.view('boiler')?.lastSeen).toBe(2_000);
});

test.each([
  ['{"state":"offline","reason":"unplugged"}', { state: 'offline', reason: 'unplugged' }],
  ['{"state":"online"}', { state: 'online', reason: '' }],
  ['online', { state: 'online', reason: '' }],
  ['{"state":"maybe"}', { state: 'unknown', reason: '' }],
  ['{', { state: 'unknown', reason: '' }],
])('availability %s', (payload, expected) => {
  expect(parseAvailability(payload)).toEqual(expected);
});

test.each(['', '[]', '{}', '{"base":1,"devices":[]}', '{"base":"x"}'])('%j is no list of devices', (payload) => {
  expect(parseDeviceList(payload)).toBeNull();
});

test('the badge says the worst that is known, and is patient at first', () => {
  const health = { ready: false, reason: 'refused', since: 7 };
  const open = { kind: 'open', since: 1, everOpen: true } as const;
  const lost = { kind: 'lost', since: 2, everOpen: true } as const;
  const first = { kind: 'connecting', since: 0, everOpen: false } as const;
  expect(judge(open, null, '', true, 9).kind).toBe('live');
  expect(judge(open, health, '', true, 9)).toEqual({ kind: 'broker_away', since: 7, reason: 'refused' });
  expect(judge(open, health, 'no', true, 9).kind).toBe('refused');
  expect(judge(lost, health, '', true, 9)).toEqual({ kind: 'lost', since: 2, reason: '' });
  expect(judge(lost, health, '', false, 9).kind).toBe('offline');
  expect(judge(first, null, '', true, 1_000).kind).toBe('connecting');
  expect(judge(first, null, '', true, 9_000).kind).toBe('unreachable');
});

test('the server clock is seen through the smallest delay, and a set clock is believed in time', () => {
  const clock = new ServerClock();
  expect(clock.at(500)).toBe(500);
  clock.observe(1_000_000, 100);
  clock.observe(1_000_000, 90);
  clock.observe(1_000_050, 190);
  expect(clock.at(200)).toBe(1_000_110);
  for (let local = 1_000; local < 100_000; local += 1_000) clock.observe(local, local);
  expect(clock.at(100_000)).toBe(100_000);
});
