import { describe, expect, test } from 'vitest';
import { parseRoute, routeHash } from '../src/route';
import { matchesFilter, parseDeviceTopic, searcher } from '../src/topic';

test.each([
  ['fieldgate/boiler', { device: 'boiler', point: null }],
  ['fieldgate/boiler/temperature', { device: 'boiler', point: 'temperature' }],
  ['fieldgate/boiler/availability', null],
  ['fieldgate/boiler/set', null],
  ['fieldgate/boiler/set/pump', null],
  ['fieldgate/boiler/backlog', null],
  ['fieldgate/bridge/state', null],
  ['fieldgate/boiler/', null],
  ['fieldgate/', null],
  ['fieldgate', null],
  ['fieldgates/boiler/x', null],
])('%s is read as a device topic or left alone', (topic, expected) => {
  expect(parseDeviceTopic('fieldgate', topic)).toEqual(expected);
});

test('a base of several levels is a base too', () => {
  expect(parseDeviceTopic('site/a', 'site/a/boiler/x')).toEqual({ device: 'boiler', point: 'x' });
});

test.each([
  ['#', 'a/b', true],
  ['a/#', 'a', true],
  ['a/#', 'ab', false],
  ['a/+', 'a/b', true],
  ['a/+', 'a', false],
  ['a/+', 'a/b/c', false],
  ['+/+', '/a', true],
  ['+', '/a', false],
  ['a/b', 'a/b', true],
  ['#', '$SYS/x', false],
  ['+/x', '$SYS/x', false],
  ['$SYS/#', '$SYS/x', true],
])('filter %s on topic %s: %s', (filter, topic, expected) => {
  expect(matchesFilter(filter, topic)).toBe(expected);
});

describe('search', () => {
  test('words match anywhere, in any order and case', () => {
    const found = searcher('TEMP boil');
    expect(found('fieldgate/Boiler/temperature')).toBe(true);
    expect(found('fieldgate/boiler/pressure')).toBe(false);
  });

  test('a wildcard level makes it a filter; a plus inside a word does not', () => {
    expect(searcher('+/boiler/#')('fieldgate/boiler/temperature')).toBe(true);
    expect(searcher('+/boiler/#')('fieldgate/host/load')).toBe(false);
    expect(searcher('c++')('lang/c++/x')).toBe(true);
  });

  test('nothing typed finds everything', () => {
    expect(searcher('  ')('x')).toBe(true);
  });
});

test.each(['fieldgate/boiler/x', '/leading', 'sp ace/ünï%2F?#', 'a//b', '100%'])(
  'the address of topic %s leads back to it',
  (topic) => {
    expect(parseRoute(routeHash('topics', topic))).toEqual({ view: 'topics', topic });
  },
);

test('an address that means nothing shows the devices, and a broken escape is taken as it is', () => {
  expect(parseRoute('')).toEqual({ view: 'devices', topic: '' });
  expect(parseRoute('#/nowhere/x')).toEqual({ view: 'devices', topic: '' });
  expect(parseRoute('#/chart/a%zz')).toEqual({ view: 'chart', topic: 'a%zz' });
});
