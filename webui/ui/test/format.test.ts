import { describe, expect, test } from 'vitest';
import { asNumber, digits, fromBase64, hexDump, label, prettyJson, reading } from '../src/format';
import { text } from '../src/strings';

test.each([
  ['21.5', 21.5],
  [' -3e2 ', -300],
  ['.5', 0.5],
  ['', null],
  ['true', null],
  ['0x10', null],
  ['1,5', null],
  ['NaN', null],
  ['1e999', null],
  ['1'.repeat(60), null],
])('payload %j as a number is %j', (payload, expected) => {
  expect(asNumber(payload)).toBe(expected);
});

test.each([
  [0, '0'],
  [0.1 + 0.2, '0.3'],
  [21.456789, '21.46'],
  [1234.56, '1\u202f234.6'],
  [0.000123456, '0.00012'],
  [0.00000042, '4.20e-7'],
  [3.2e15, '3.20e15'],
  [-12.3, '-12.3'],
])('%d is shown as %s', (value, expected) => {
  expect(digits(value)).toBe(expected);
});

describe('readings', () => {
  test('decimals that a device writes stay, so that the width does', () => {
    expect(reading('49.0', '%')).toEqual({ value: '49.0', unit: '%' });
    expect(reading('0.0', '')).toEqual({ value: '0.0', unit: '' });
    expect(reading('49.123456', '°C')).toEqual({ value: '49.12', unit: '°C' });
  });

  test('bytes grow into larger units', () => {
    expect(reading('999', 'B')).toEqual({ value: '999', unit: 'B' });
    expect(reading('3144567890', 'B')).toEqual({ value: '3.14', unit: 'GB' });
    expect(reading('6400000', 'B')).toEqual({ value: '6.40', unit: 'MB' });
    expect(reading('999999', 'B')).toEqual({ value: '1\u202f000', unit: 'kB' });
    expect(reading('68400', 'B/s')).toEqual({ value: '68.4', unit: 'kB/s' });
  });

  test('long durations are told in words', () => {
    expect(reading('631359', 's')).toEqual({ value: '7 d 7 h', unit: '' });
    expect(reading('7', 's')).toEqual({ value: '7', unit: 's' });
  });

  test('what is no number stays as it is', () => {
    expect(reading('open', '')).toEqual({ value: 'open', unit: '' });
  });
});

test.each([
  ['cpu_temperature', '', 'CPU temperature'],
  ['memory_percent', '%', 'Memory'],
  ['percent', '%', 'Percent'],
  ['network_rx_bytes_per_s', 'B/s', 'Network rx rate'],
  ['uptime_s', 's', 'Uptime'],
  ['uptime_s', '', 'Uptime s'],
  ['greenhouse-north', '', 'Greenhouse north'],
  ['_', '', '_'],
])('slug %s is labelled', (slug, unit, expected) => {
  expect(label(slug, unit)).toBe(expected);
});

test.each([
  [0, 'just now'],
  [2_400, '2 s ago'],
  [61_000, '1 min ago'],
  [3_700_000, '1 h ago'],
  [200_000_000, '2 days ago'],
])('an age of %d ms is %s', (age, expected) => {
  expect(text.ago(age)).toBe(expected);
});

describe('JSON', () => {
  test('is indented as JSON.stringify would', () => {
    const value = { a: [1, { b: 'x:{},[]"\\' }, []], c: {}, d: null, e: 'ü\n' };
    expect(prettyJson(JSON.stringify(value))).toBe(JSON.stringify(value, null, 2));
    expect(prettyJson(JSON.stringify(value, null, 7))).toBe(JSON.stringify(value, null, 2));
    expect(prettyJson('[]')).toBe('[]');
  });

  test('keeps big numbers digit by digit', () => {
    expect(prettyJson('{"big":12345678901234567890}')).toBe('{\n  "big": 12345678901234567890\n}');
  });

  test.each(['21.5', 'open', '{"a":', '"x"', ''])('%j is no JSON object or list', (payload) => {
    expect(prettyJson(payload)).toBeNull();
  });
});

test('bytes are dumped sixteen a line', () => {
  const dump = hexDump(Uint8Array.from({ length: 18 }, (_, index) => index + 56));
  expect(dump.split('\n')).toEqual([
    '000000  38 39 3a 3b 3c 3d 3e 3f 40 41 42 43 44 45 46 47  89:;<=>?@ABCDEFG',
    `000010  48 49${' '.repeat(42)}  HI`,
  ]);
});

test('what is no base64 has no bytes', () => {
  expect([...fromBase64('AP8=')]).toEqual([0, 255]);
  expect(fromBase64('%%%').length).toBe(0);
});
