import { describe, expect, test } from 'vitest';
import { SampleRing, SparkHistory, sparkPath, summarise } from '../src/series';
import { moveBy, rowWindow } from '../src/window';

describe('the ring', () => {
  test('keeps the newest at its bound', () => {
    const ring = new SampleRing(3);
    for (let time = 1; time <= 5; time += 1) ring.push(time, time * 10);
    expect(ring.since(0)).toEqual({ times: [3, 4, 5], values: [30, 40, 50] });
    expect(ring.size).toBe(3);
  });

  test('gives the window and the one sample before it', () => {
    const ring = new SampleRing(10);
    for (let time = 1; time <= 5; time += 1) ring.push(time, time);
    expect(ring.since(4).times).toEqual([3, 4, 5]);
    expect(ring.since(99).times).toEqual([5]);
    expect(new SampleRing(2).since(0)).toEqual({ times: [], values: [] });
  });

  test('forgets what somebody knows better', () => {
    const ring = new SampleRing(3);
    for (let time = 1; time <= 5; time += 1) ring.push(time, time);
    expect(ring.newest).toBe(5);
    ring.forgetFrom(4);
    expect(ring.since(0).times).toEqual([3]);
    expect(ring.newest).toBe(3);
    ring.push(4, 40);
    expect(ring.since(0)).toEqual({ times: [3, 4], values: [3, 40] });
    ring.forgetFrom(0);
    expect(ring.size).toBe(0);
    expect(ring.newest).toBeUndefined();
    ring.forgetFrom(0);
  });

  test('breaks the line once where something is missing', () => {
    const ring = new SampleRing(10);
    ring.breakLine();
    ring.push(1, 5);
    ring.breakLine();
    ring.breakLine();
    ring.push(9, 6);
    expect(ring.since(0)).toEqual({ times: [1, 1, 9], values: [5, null, 6] });
  });
});

test('a summary counts what is inside the window only', () => {
  expect(summarise([1, 2, 3, 4], [100, 1, null, 3], 2)).toEqual({ min: 1, mean: 2, max: 3 });
  expect(summarise([1], [1], 2)).toBeNull();
});

describe('the little lines', () => {
  test('are bounded, and a fast point spans a while', () => {
    const sparks = new SparkHistory();
    for (let time = 0; time < 100_000; time += 100) sparks.push('a', time, time);
    const samples = sparks.get('a');
    expect(samples.length).toBe(60);
    expect(samples.at(-1)).toEqual({ time: 99_900, value: 99_900 });
    expect(99_900 - (samples[0]?.time ?? 0)).toBeGreaterThan(20_000);
  });

  test('take older samples before the ones they have', () => {
    const sparks = new SparkHistory();
    sparks.push('a', 5_000, 5);
    sparks.prepend('a', [
      { time: 1_000, value: 1 },
      { time: 3_000, value: 3 },
      { time: 5_000, value: 99 },
    ]);
    expect(sparks.get('a').map(({ value }) => value)).toEqual([1, 3, 5]);
  });

  test('are drawn from corner to corner, a flat one in the middle', () => {
    const rising = [
      { time: 0, value: 0 },
      { time: 5, value: 1 },
      { time: 10, value: 2 },
    ];
    expect(sparkPath(rising, 100, 20)).toBe('M0.0 20.0L50.0 10.0L100.0 0.0');
    expect(sparkPath(rising.map(({ time }) => ({ time, value: 7 })), 100, 20)).toBe(
      'M0.0 10.0L50.0 10.0L100.0 10.0',
    );
    expect(sparkPath(rising.slice(0, 1), 100, 20)).toBe('');
  });
});

test('only the rows in sight and a few beside them have elements', () => {
  expect(rowWindow(0, 400, 40, 5_000)).toEqual({ first: 0, end: 18 });
  expect(rowWindow(4_000, 400, 40, 5_000)).toEqual({ first: 92, end: 118 });
  expect(rowWindow(90_000, 400, 40, 20)).toEqual({ first: 20, end: 20 });
  expect(rowWindow(0, 400, 40, 0)).toEqual({ first: 0, end: 0 });
});

test('keys move the choice inside the list', () => {
  expect(moveBy('ArrowDown', -1, 10, 5)).toBe(0);
  expect(moveBy('ArrowDown', 9, 10, 5)).toBe(9);
  expect(moveBy('PageUp', 3, 10, 5)).toBe(0);
  expect(moveBy('End', 0, 10, 5)).toBe(9);
  expect(moveBy('x', 0, 10, 5)).toBeNull();
});
