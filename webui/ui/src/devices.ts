/** Devices as the page shows them, made from the topic tree: no element, no socket. */

import { asNumber, label } from './format';
import { isObject, parseObject } from './protocol';
import type { Change, Store, TopicValue } from './store';
import { parseDeviceTopic } from './topic';

export interface PointInfo {
  readonly unit: string;
  readonly name: string;
  /** What its payload is a moment of, and no state: `{"event_type":"press"}`. */
  readonly event: boolean;
  /** How many seconds usually pass between two of its values; null while nobody knows. */
  readonly interval: number | null;
  readonly type: string;
  /** How it may be set; null where it may not. */
  readonly setting: Setting | null;
}

/** What a point may be set to. */
export interface Setting {
  readonly options: readonly string[];
  readonly min: number | null;
  readonly max: number | null;
  readonly step: number | null;
  /** Whether the hardware says the value back. */
  readonly confirms: boolean;
}

/** A control for a writable point. */
export interface ControlView extends Setting {
  readonly device: string;
  readonly point: string;
  readonly name: string;
  readonly unit: string;
  readonly kind: string;
  /** What the hardware says; empty where it has said nothing. */
  readonly value: string;
}

export interface DeviceInfo {
  readonly name: string;
  /** What people call it; empty where the config doesn't say. */
  readonly title: string;
  readonly reader: string;
  readonly points: ReadonlyMap<string, PointInfo>;
}

/** What `api/devices` answers, and the topic `<base>/bridge/devices` holds. */
export interface DeviceList {
  readonly base: string;
  readonly devices: readonly DeviceInfo[];
}

export interface Availability {
  readonly state: 'online' | 'offline' | 'unknown';
  readonly reason: string;
}

/** Something of what the hardware said that made no sense; `content` is its beginning. */
export interface BadFrame {
  readonly time: number;
  readonly why: string;
  readonly content: string;
}

/** How a device's reader is, from the topic `<base>/bridge/health`. */
export interface DeviceHealth {
  readonly reason: string;
  /** How many frames made no sense so far, and the newest of them, the newest first. */
  readonly rejected: number;
  readonly badFrames: readonly BadFrame[];
}

export interface PointView {
  readonly point: string;
  readonly topic: string;
  /** As the config names it, else made from the point. */
  readonly name: string;
  readonly unit: string;
  readonly numeric: boolean;
  readonly event: boolean;
  /** It has been silent for longer than it may. */
  readonly stale: boolean;
  readonly interval: number | null;
  readonly value: TopicValue;
}

/** One card. A new object where anything of it changed, the same one where nothing did. */
export interface DeviceView {
  readonly name: string;
  readonly title: string;
  readonly reader: string;
  readonly availability: Availability;
  /** When the device last said anything, by the server's clock; null for never. */
  readonly lastSeen: number | null;
  readonly points: readonly PointView[];
  readonly controls: readonly ControlView[];
  readonly rejected: number;
  readonly badFrames: readonly BadFrame[];
}

const UNKNOWN: Availability = { state: 'unknown', reason: '' };
const HEALTHY: DeviceHealth = { reason: '', rejected: 0, badFrames: [] };

export function parseDeviceList(payload: string): DeviceList | null {
  const list = parseObject(payload);
  if (list === null || typeof list['base'] !== 'string' || !Array.isArray(list['devices'])) return null;
  const devices = list['devices'].filter(isObject).flatMap((device) => {
    if (typeof device['name'] !== 'string') return [];
    const points = isObject(device['points']) ? device['points'] : {};
    return [
      {
        name: device['name'],
        title: textOf(device['title']),
        reader: textOf(device['reader']),
        points: new Map(
          Object.entries(points).map(([point, info]) => [
            point,
            pointInfo(isObject(info) ? info : {}),
          ]),
        ),
      },
    ];
  });
  return { base: list['base'], devices };
}

function pointInfo(said: Record<string, unknown>): PointInfo {
  const interval = said['interval_s'];
  return {
    unit: textOf(said['unit']),
    name: textOf(said['name']),
    event: said['type'] === 'event',
    interval: typeof interval === 'number' && interval > 0 ? interval : null,
    type: textOf(said['type']),
    setting: said['writable'] === true ? setting(said) : null,
  };
}

function setting(said: Record<string, unknown>): Setting {
  const { options } = said;
  return {
    options: Array.isArray(options) ? options.filter((option) => typeof option === 'string') : [],
    min: numberOf(said['min']),
    max: numberOf(said['max']),
    step: numberOf(said['step']),
    confirms: said['confirm'] !== false && said['type'] !== 'button',
  };
}

/** The type of an event as people read it; the payload itself where it is no event. */
export function eventType(payload: string): string {
  const type = textOf(parseObject(payload)?.['event_type']);
  return type === '' ? payload : label(type);
}

/** How each device's reader is, from the topic `<base>/bridge/health`. */
export function parseHealth(payload: string): ReadonlyMap<string, DeviceHealth> {
  const devices = parseObject(payload)?.['devices'];
  if (!isObject(devices)) return new Map();
  return new Map(
    Object.entries(devices).map(([name, said]) => [name, isObject(said) ? deviceHealth(said) : HEALTHY]),
  );
}

function deviceHealth(said: Record<string, unknown>): DeviceHealth {
  const counts = isObject(said['rejected']) ? Object.values(said['rejected']) : [];
  const frames = Array.isArray(said['bad_frames']) ? said['bad_frames'].filter(isObject) : [];
  return {
    reason: textOf(said['reason']),
    rejected: counts.reduce<number>((sum, count) => sum + (typeof count === 'number' ? count : 0), 0),
    badFrames: frames
      .map((frame) => ({
        time: Date.parse(textOf(frame['time'])),
        why: textOf(frame['why']),
        content: textOf(frame['content']),
      }))
      .reverse(),
  };
}

export function parseAvailability(payload: string): Availability {
  const said = parseObject(payload) ?? { state: payload.trim() };
  const { state, reason } = said as { state?: unknown; reason?: unknown };
  return state === 'online' || state === 'offline' ? { state, reason: textOf(reason) } : UNKNOWN;
}

/** Keeps the cards in step with the store, touching only devices that something came from. */
export class DeviceBoard {
  #list: DeviceList;
  #views: readonly DeviceView[] = [];
  #health: ReadonlyMap<string, DeviceHealth> = new Map();
  readonly #points = new Map<string, Set<string>>();

  constructor(list: DeviceList) {
    this.#list = list;
  }

  get base(): string {
    return this.#list.base;
  }

  get views(): readonly DeviceView[] {
    return this.#views;
  }

  point(topic: string): PointInfo | undefined {
    const place = parseDeviceTopic(this.base, topic);
    if (place?.point == null) return undefined;
    return this.#list.devices.find(({ name }) => name === place.device)?.points.get(place.point);
  }

  update(change: Change, store: Store): readonly DeviceView[] {
    const listTopic = `${this.base}/bridge/devices`;
    const everything = change.all || change.topics.has(listTopic);
    if (everything) {
      const payload = store.get(listTopic)?.payload;
      this.#list = (payload === undefined ? null : parseDeviceList(payload)) ?? this.#list;
      this.#points.clear();
    }
    const touched = new Set<string>();
    if (everything || change.topics.has(`${this.base}/bridge/health`)) this.#noteHealth(store, touched);
    for (const topic of everything ? store.topics() : change.topics) this.#note(topic, store, touched);
    if (!everything && touched.size === 0) return this.#views;
    const before = new Map(this.#views.map((view) => [view.name, view]));
    this.#views = this.#list.devices.map((device) => {
      const view = everything || touched.has(device.name) ? undefined : before.get(device.name);
      return view ?? this.#view(device, store);
    });
    return this.#views;
  }

  #noteHealth(store: Store, touched: Set<string>): void {
    const before = this.#health;
    this.#health = parseHealth(store.get(`${this.base}/bridge/health`)?.payload ?? '');
    for (const { name } of this.#list.devices) {
      const [was, is] = [before.get(name), this.#health.get(name)];
      if (was?.reason !== is?.reason || was?.rejected !== is?.rejected) touched.add(name);
    }
  }

  #note(topic: string, store: Store, touched: Set<string>): void {
    const prefix = `${this.base}/`;
    if (!topic.startsWith(prefix)) return;
    const place = parseDeviceTopic(this.base, topic);
    if (place === null) {
      if (topic.endsWith('/availability')) touched.add(topic.slice(prefix.length, -'/availability'.length));
      return;
    }
    touched.add(place.device);
    if (place.point === null) return;
    const points = this.#points.get(place.device) ?? new Set();
    if (store.get(topic) === undefined) points.delete(place.point);
    else points.add(place.point);
    this.#points.set(place.device, points);
  }

  #view(device: DeviceInfo, store: Store): DeviceView {
    const own = `${this.base}/${device.name}`;
    const listed = [...device.points.keys()];
    const found = [...(this.#points.get(device.name) ?? [])].filter((point) => !device.points.has(point));
    const state = parseObject(store.get(own)?.payload ?? '') ?? {};
    const stale = new Set(Array.isArray(state['stale']) ? state['stale'] : []);
    const points = [...listed, ...found.sort()].flatMap((point) => {
      const topic = `${own}/${point}`;
      const value = store.get(topic);
      if (value === undefined) return [];
      const info = device.points.get(point);
      const numeric = asNumber(value.payload) !== null;
      const unit = info?.unit ?? '';
      const given = info?.name ?? '';
      const name = given === '' ? label(point, unit) : given;
      const event = info?.event ?? false;
      const interval = info?.interval ?? null;
      return [{ point, topic, name, unit, numeric, event, stale: stale.has(point), interval, value }];
    });
    const said = store.get(`${own}/availability`);
    const availability = said === undefined ? UNKNOWN : parseAvailability(said.payload);
    const health = this.#health.get(device.name) ?? HEALTHY;
    const reason = availability.reason === '' ? health.reason : availability.reason;
    return {
      name: device.name,
      title: device.title === '' ? label(device.name) : device.title,
      reader: device.reader,
      availability: { ...availability, reason },
      lastSeen: lastSeen(state['time'], points),
      points,
      controls: [...device.points].flatMap(([point, info]) => {
        if (info.setting === null) return [];
        const value = store.get(`${own}/${point}`)?.payload ?? '';
        const name = info.name === '' ? label(point, info.unit) : info.name;
        return [{ ...info.setting, device: device.name, point, name, unit: info.unit, kind: info.type, value }];
      }),
      rejected: health.rejected,
      badFrames: health.badFrames,
    };
  }
}

/** The state's own `time` where there is one: it outlives a restart of the broker and the page's server. */
function lastSeen(said: unknown, points: readonly PointView[]): number | null {
  const own = typeof said === 'string' ? Date.parse(said) : Number.NaN;
  if (!Number.isNaN(own)) return own;
  const times = points.map((point) => point.value.time);
  return times.length === 0 ? null : Math.max(...times);
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
