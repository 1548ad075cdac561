import { expect, test } from 'vitest';
import { asSample } from '../src/format';
import { parsePast } from '../src/past';

test('columns become samples of their means', () => {
  const columns = { time: [1, 2], min: [0, 0], mean: [1.5, 2.5], max: [9, 9] };
  expect(parsePast(JSON.stringify(columns))).toEqual([
    { time: 1, value: 1.5 },
    { time: 2, value: 2.5 },
  ]);
  expect(parsePast('{"time":[],"mean":[]}')).toEqual([]);
});

test.each(['', '[]', '{}', '{"time":[1],"mean":[]}', '{"time":["1"],"mean":[1]}', '{"time":1,"mean":1}'])(
  'what are no columns is nothing: %s',
  (text) => {
    expect(parsePast(text)).toBeNull();
  },
);

test('a line knows true and false, too', () => {
  expect(['true', 'false', '21.5', 'on'].map(asSample)).toEqual([1, 0, 21.5, null]);
});
