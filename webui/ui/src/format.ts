/** From payloads to what a person reads. */

import { text } from './strings';

const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const LONGEST_NUMBER = 40;

/** The number that a bare payload is; null for anything else. */
export function asNumber(payload: string): number | null {
  const trimmed = payload.trim();
  if (trimmed.length > LONGEST_NUMBER || !DECIMAL.test(trimmed)) return null;
  const value = Number(trimmed);
  return Number.isFinite(value) ? value : null;
}

/** The same for a line: true is 1 and false is 0, as history has them. */
export function asSample(payload: string): number | null {
  return payload === 'true' ? 1 : payload === 'false' ? 0 : asNumber(payload);
}

export interface Reading {
  readonly value: string;
  readonly unit: string;
}

const BYTES = /^(B|bytes?)(\/s)?$/;
const BYTE_STEPS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** A payload as value and unit: sensible digits, bytes and long durations in their own way. */
export function reading(payload: string, unit: string): Reading {
  const value = asNumber(payload);
  if (value === null) return { value: payload, unit };
  const bytes = BYTES.exec(unit);
  if (bytes !== null) {
    const step = byteStep(value);
    const scaled = step === 0 ? payload : (value / 1000 ** step).toPrecision(3);
    return { value: digits(Number(scaled), decimals(scaled)), unit: `${BYTE_STEPS[step] ?? ''}${bytes[2] ?? ''}` };
  }
  if (unit === 's' && value >= 120) return { value: text.duration(value), unit: '' };
  return { value: digits(value, decimals(payload)), unit };
}

/** How often `value` can be divided by 1000 and stay readable. */
export function byteStep(value: number): number {
  const size = Math.abs(value);
  if (size < 1000) return 0;
  return Math.min(BYTE_STEPS.length - 1, Math.floor(Math.log10(size) / 3));
}

export function isBytes(unit: string): boolean {
  return BYTES.test(unit);
}

/**
 * About four digits that say something; no exponent where a person would write none.
 *
 * `atLeast` decimals are kept where there is room: a device that writes 49.0 means it, and a
 * value that jumps between 49 and 49.1 is hard to read.
 */
export function digits(value: number, atLeast = 0): string {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e12 || size < 1e-4)) return value.toExponential(2).replace('e+', 'e');
  const most = size >= 1000 ? 1 : size >= 10 || size === 0 ? 2 : size >= 0.1 ? 3 : 5;
  const form = { minimumFractionDigits: Math.min(atLeast, most), maximumFractionDigits: most };
  return value.toLocaleString('en', form).replaceAll(',', '\u202f');
}

/** How many decimals a payload is written with. */
export function decimals(payload: string): number {
  return /\.(\d+)\s*$/.exec(payload)?.[1]?.length ?? 0;
}

/** Words that look wrong in small letters. */
const CAPITALS = new Set(['cpu', 'gpu', 'ram', 'usb', 'ip', 'rssi', 'snr', 'id', 'uv', 'pwm', 'adc', 'io', 'co2']);

/** Ends of a slug that only repeat the unit, which stands beside the value anyway. */
const SPOKEN_UNITS: Record<string, [end: RegExp, instead: string]> = {
  '%': [/_percent$/, ''],
  B: [/_bytes$/, ''],
  'B/s': [/_bytes_per_s(econd)?$/, '_rate'],
  s: [/_s(econds)?$/, ''],
};

/** `cpu_temperature` → `CPU temperature`: a slug as a label; what the unit says is left out. */
export function label(slug: string, unit = ''): string {
  const spoken = SPOKEN_UNITS[unit];
  const bare = spoken === undefined ? slug : slug.replace(...spoken);
  const words = bare.split(/[_-]+/).filter((word) => word !== '');
  const name = words.map((word) => (CAPITALS.has(word) ? word.toUpperCase() : word)).join(' ');
  return name === '' ? slug : name.charAt(0).toUpperCase() + name.slice(1);
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const calendar = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

/** A moment as a clock shows it; with the date where it isn't of today. */
export function moment(time: number, now: number): string {
  const today = new Date(now).toDateString() === new Date(time).toDateString();
  return today ? clock.format(time) : calendar.format(time);
}

/** JSON indented by two, digits and key order untouched; null where it is no JSON object or list. */
export function prettyJson(payload: string): string | null {
  const start = payload.trimStart().charAt(0);
  if (start !== '{' && start !== '[') return null;
  try {
    JSON.parse(payload);
  } catch {
    return null;
  }
  // Parsed only to be sure: printing the parsed value would round big numbers.
  return indent(payload);
}

const JSON_TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

function indent(json: string): string {
  let depth = 0;
  let out = '';
  let before = '';
  for (const [token] of json.matchAll(JSON_TOKEN)) {
    const closes = token === '}' || token === ']';
    if (closes) depth -= 1;
    const empty = closes && (before === '{' || before === '[');
    const fresh = before === '{' || before === '[' || before === ',' || closes;
    if (fresh && before !== '' && !empty) out += `\n${'  '.repeat(depth)}`;
    out += token === ':' ? ': ' : token;
    if (token === '{' || token === '[') depth += 1;
    before = token;
  }
  return out;
}

/** Bytes as offset, hexadecimal and what of them is ASCII, sixteen a line. */
export function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let offset = 0; offset < bytes.length; offset += 16) {
    const row = [...bytes.subarray(offset, offset + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const ascii = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.'));
    lines.push(`${offset.toString(16).padStart(6, '0')}  ${hex.padEnd(47)}  ${ascii.join('')}`);
  }
  return lines.join('\n');
}

/** The bytes behind a base64 payload; none where it is no base64. */
export function fromBase64(payload: string): Uint8Array {
  try {
    return Uint8Array.from(atob(payload), (letter) => letter.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}
